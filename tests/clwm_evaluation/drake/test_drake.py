"""Drake gets the same arms, scenes and drives; what needs Drake itself runs where CLWM_DRAKE_PYTHON names it."""

import os
import sys

import numpy as np
import pytest

from clwm_evaluation.drake.expert_trials import ExpertTrials, _difference
from clwm_evaluation.drake.orders import TrialOrder
from clwm_evaluation.drake.process import DrakeError, DrakeProcess, _lights, _write_meshes, drives, targets
from clwm_evaluation.drake.stage import DrakeStage
from clwm_evaluation.drake.task_world import DrakeTaskWorld
from clwm_evaluation.virtual.conditions import CONDITIONS
from clwm_sim.stage import next_openings
from clwm_sim.world import World

DRAKE = os.environ.get("CLWM_DRAKE_PYTHON")
needs_drake = pytest.mark.skipif(
    DRAKE is None, reason="CLWM_DRAKE_PYTHON names no environment with `pip install drake`"
)


@pytest.fixture(scope="module")
def world():
    return World("switches", seed=3)


def test_drives_are_those_of_both_arms_and_of_each_finger_half_of_its_hand(world):
    found = drives(world)
    robot = world.robot
    assert [it["name"] for it in found[:8]] == [*robot.left.joint_names, robot.left.gripper.finger_joint]
    model, _ = world.compiled
    hand = model.actuator("left/hand").id
    # Both fingers of an opening that is 1 cm too wide press as the hand's tendon pulls.
    pull = abs(model.actuator_biasprm[hand, 1]) * 0.005
    assert sum(it["stiffness"] * 0.005 for it in found[7:9]) == pytest.approx(pull)
    positions, widths = world.setpoint()
    np.testing.assert_allclose([it["position"] for it in found], targets(positions, widths))


def test_targets_are_in_the_drives_order(world):
    positions = np.arange(14.0)
    np.testing.assert_allclose(
        targets(positions, [0.02, 0.06])[[0, 7, 8, 9, 16, 17]], [0.0, 0.01, 0.01, 7.0, 0.03, 0.03]
    )


def test_every_mesh_of_the_arms_is_written_with_normals(tmp_path):
    _write_meshes(tmp_path)
    assert {f"link{number}_coll.obj" for number in range(8)} | {"hand_coll.obj", "finger_0_vis.obj"} <= {
        it.name for it in tmp_path.iterdir()
    }
    lines = (tmp_path / "link1_coll.obj").read_text().splitlines()
    corners, normals, faces = ([it for it in lines if it.startswith(kind)] for kind in ("v ", "vn ", "f "))
    assert len(corners) == 3 * len(faces) and len(normals) == len(faces)


def test_fingers_that_squeeze_let_go_at_once_and_go_no_faster_than_they_may():
    applied = next_openings([0.01, 0.05], [0.08, 0.0], [0.04, 0.05], [0.001, 0.001])
    np.testing.assert_allclose(applied, [0.041, 0.049])


def test_light_from_everywhere_is_as_bright_as_mujocos_on_what_faces_an_axis(world):
    model, _ = world.compiled
    everywhere = _lights(world)[-6:]
    for facing in (*np.eye(3), *-np.eye(3)):
        shed = sum(max(0.0, -facing @ light["direction"]) * np.array(light["colour"]) for light in everywhere)
        np.testing.assert_allclose(shed, model.vis.headlight.ambient)


def test_pictures_that_differ_in_brightness_alone_are_alike():
    picture = np.random.default_rng(0).integers(40, 200, (16, 16, 3)).astype(np.uint8)
    assert _difference(picture, (picture / 2).astype(np.uint8))["share_far"] == 0.0
    assert _difference(picture, picture[::-1])["share_far"] > 0.3


@pytest.mark.parametrize("python", [sys.executable, "/nowhere/python"])
def test_a_python_without_drake_is_refused_with_what_to_do(python):
    if DRAKE == python:
        pytest.skip("this Python has Drake")
    with pytest.raises(DrakeError, match="pip install drake|name the Python of Drake's environment"):
        DrakeProcess(python)


@pytest.fixture(scope="module")
def process():
    process = DrakeProcess(DRAKE)
    yield process
    process.close()


@needs_drake
def test_a_drake_that_was_killed_is_said_to_have_ended(world):
    killed = DrakeProcess(DRAKE)
    killed._process.kill()
    with pytest.raises(DrakeError, match="Drake ended at 'load'"):
        DrakeStage(killed, world)
    killed.close()


@needs_drake
def test_drake_starts_where_mujoco_stands(process, world):
    drake = DrakeStage(process, world)
    found, expected = drake.situation(), world.situation()
    np.testing.assert_allclose(found.tcp, expected.tcp, atol=1e-4)
    np.testing.assert_allclose(found.widths, expected.widths, atol=1e-6)
    for name, state in expected.objects.items():
        np.testing.assert_allclose(found.objects[name].position, state.position, atol=1e-5)
        np.testing.assert_allclose(found.objects[name].rotation, state.rotation, atol=1e-5)
        assert found.objects[name].angle == pytest.approx(state.angle, abs=1e-5)


@needs_drake
def test_a_lever_stays_at_its_end_in_drake(process, world):
    drake = DrakeStage(process, world)
    drake.advance(0.5)
    for thing in world.layout.of_kind("lever"):
        assert drake.situation().objects[thing.name].angle == pytest.approx(thing.hinge.angle, abs=0.03)


@needs_drake
def test_both_fingers_of_a_hand_move_alike_in_drake(process, world):
    """Without it a thing that lies off the middle is dragged by one finger when a hand opens."""
    drake = DrakeStage(process, world)
    drake._process.advance(
        np.array([[*targets(*world.setpoint())[:7], 0.0, 0.04, *targets(*world.setpoint())[9:]]] * 40)
    )
    drake.advance(0.005)
    left = np.array(drake._state["joints"])[7:9]
    assert left[0] == pytest.approx(left[1], abs=1e-3) and 0.01 < left[0] < 0.03


@needs_drake
def test_a_table_is_as_bright_in_drake_as_in_mujoco(process, world):
    drake = DrakeStage(process, world)
    for camera in ("head", "left_wrist"):
        shades = [np.median(it.render(camera).reshape(-1, 3), axis=0) for it in (world, drake)]
        np.testing.assert_allclose(*shades, atol=4.0)


@needs_drake
def test_pictures_in_drake_are_taken_where_the_cameras_went(process):
    world = DrakeTaskWorld("lift_tray", CONDITIONS["none"], process)
    before = {camera: world.render(camera) for camera in ("head", "left_wrist")}
    home, widths = world.setpoint()
    world.advance(0.5, lambda at: (home + 0.3 * min(at / 0.4, 1.0) * np.eye(14)[6], widths))
    assert _difference(before["left_wrist"], world.render("left_wrist"))["share_far"] > 0.02
    assert _difference(before["head"], world.render("head"))["share_far"] < 0.02


@needs_drake
def test_the_expert_turns_a_lever_in_both_worlds(process):
    trial = ExpertTrials(process).run(TrialOrder("expert", "switches", "turn_lever", 2))
    assert (trial.drake, trial.mujoco) == ("achieved", "achieved")
