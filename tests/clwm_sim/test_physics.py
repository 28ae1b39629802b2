"""An episode's dynamics: each quantity does what it says, lasts for the episode, and is gone at the next set-up."""

from dataclasses import fields, replace

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.physics import NOMINAL, ModelPhysics, Physics
from clwm_sim.registry import scene_named
from clwm_sim.stage import Stage

ROBOT = RobotDescription.load("dual_fr3_mujoco")
OTHER = Physics(
    **{field.name: 1.25 for field in fields(Physics)} | {"drag": 0.3, "latency": 0.05, "table_height": 0.015}
)


@pytest.fixture(scope="module")
def stage():
    return Stage(scene_named("tray"), ROBOT, 32)


def set_up(stage, physics=NOMINAL, seed=1):
    layout = stage.scene.draw(np.random.default_rng(seed))
    stage.set_up(layout, np.random.default_rng(seed), physics)
    return layout


def moving(stage, seconds=0.6):
    """Joint positions (n, 14) every 2.5 ms while the first joint follows a ramp, and the openings (n, 2)."""
    joints, widths = stage.setpoint()
    seen = []
    for step in range(round(seconds / 0.0025)):
        stage.advance((step + 1) * 0.0025, lambda time: (joints + 0.3 * time * np.eye(14)[0], np.array([0.0, 0.08])))
        seen.append(stage.measured())
    return np.array([each.positions for each in seen]), np.array([each.widths for each in seen])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("latency", -0.01, "0 or more"), ("mass", 0.0, "more than 0"), ("table_height", np.nan, "a finite number")],
)
def test_quantity_that_no_dynamics_can_have_is_refused_by_its_name(name, value, expected):
    with pytest.raises(ValueError, match=f"physics: {name} is {value}; expected {expected}"):
        Physics(**{name: value})


def test_latency_shifts_every_motion_of_arms_and_hands_by_itself(stage):
    set_up(stage)
    nominal = moving(stage)
    set_up(stage, Physics(latency=0.05))
    for prompt, late in zip(nominal, moving(stage), strict=True):
        assert np.abs(late[:20] - late[0]).max() < 1e-4
        assert np.abs(late[20:] - prompt[:-20]).max() < 1e-4
        assert np.abs(late - prompt).max() > 1e-3


def test_commands_on_their_way_take_effect_when_no_others_follow(stage):
    set_up(stage, Physics(latency=0.05))
    joints, widths = stage.setpoint()
    stage.advance(0.04, lambda time: (joints + 0.01 * np.eye(14)[0], widths))
    assert stage.measured().positions[0] == pytest.approx(joints[0], abs=1e-4)
    stage.advance(1.0)
    assert stage.measured().positions[0] == pytest.approx(joints[0] + 0.01, abs=1e-3)


def test_dynamics_are_nominal_again_after_the_next_set_up(stage):
    set_up(stage)
    nominal = moving(stage)
    set_up(stage, OTHER, seed=2)
    other = moving(stage)
    set_up(stage)
    for before, between, after in zip(nominal, other, moving(stage), strict=True):
        assert np.array_equal(before, after) and not np.array_equal(before, between)
    assert stage.physics == NOMINAL and stage.situation().table_height == 0.0


@pytest.mark.parametrize("height", [-0.02, 0.02])
def test_heights_are_over_the_table_and_rows_over_the_bases(stage, height):
    layout = set_up(stage, Physics(table_height=height))
    stage.advance(0.5)
    now, block = stage.situation(), layout.things["block0"]
    in_rows = DualArmKinematics(ROBOT).poses(stage.measured().positions)[:, :3]
    assert np.allclose(in_rows, now.tcp + [0.0, 0.0, height], atol=1e-6)
    assert now.objects["block0"].position[2] == pytest.approx(block.height, abs=1e-3)
    assert now.objects["tray"].position[2] == pytest.approx(0.0, abs=1e-3)


def test_objects_get_their_masses_frictions_and_damping_and_keep_the_rest():
    layout = scene_named("switches").draw(np.random.default_rng(0))
    lever = layout.things["lever0"]
    varied = Physics(mass=1.2, friction=0.8, hinge_damping=2.0).of_objects(layout).things["lever0"]
    assert (varied.mass, varied.friction) == (lever.mass * 1.2, lever.friction * 0.8)
    assert varied.hinge == replace(lever.hinge, damping=2.0 * lever.hinge.damping)
    assert replace(varied, mass=lever.mass, friction=lever.friction, hinge=lever.hinge) == lever
    assert Physics(latency=0.03).of_objects(layout) is layout


def test_factors_reach_the_arms_the_hands_and_the_surfaces_they_name(stage):
    layout = set_up(stage)
    model = stage._model
    physics = ModelPhysics(model)

    def values():
        drive, hand, joint = (
            model.actuator("left/fr3_joint2"),
            model.actuator("right/hand"),
            model.joint("left/fr3_joint2"),
        )
        finger = next(geom for geom in range(model.ngeom) if "finger" in model.body(model.geom_bodyid[geom]).name)
        return np.array(
            [
                drive.gainprm[0],
                drive.biasprm[2],
                hand.gainprm[0],
                hand.biasprm[1],
                joint.damping[0],
                joint.frictionloss[0],
                model.geom_friction[finger, 0],
                model.geom("table").friction[0],
                model.joint("tray").damping[0],
            ]
        )

    before = values()
    physics.apply(
        Physics(
            stiffness=4.0,
            damping_ratio=1.5,
            grip_force=1.6,
            joint_damping=2.0,
            finger_friction=0.9,
            table_friction=0.5,
            drag=0.5,
        ),
        layout,
    )
    assert values()[:-1] == pytest.approx(before[:-1] * [4.0, 3.0, 1.6, 1.6, 2.0, 2.0, 0.9, 0.5])
    assert values()[-1] == pytest.approx(0.5 * layout.things["tray"].mass)
    physics.apply(NOMINAL, layout)
    assert np.array_equal(values(), before)


def test_arms_hold_still_where_they_are_put_whatever_the_drives_are(stage):
    set_up(stage, OTHER)
    joints = ROBOT.home + 0.2
    stage.put_arms(joints, [0.03, 0.08])
    assert np.allclose(stage.measured().positions, joints) and np.allclose(stage.measured().widths, [0.03, 0.08])
    stage.advance(0.5)
    assert np.abs(stage.measured().positions - joints).max() < 1e-3


def test_copy_of_a_stage_goes_on_as_the_original_does_in_its_dynamics(stage):
    copy = Stage(scene_named("tray"), ROBOT, 32)
    set_up(stage, OTHER)
    joints, widths = stage.setpoint()
    stage.advance(0.1, lambda time: (joints + 0.3 * time, widths))
    copy.become(stage)
    for each in (stage, copy):
        each.advance(0.3, lambda time: (joints + 0.3 * time, widths))
    assert np.array_equal(stage.measured().positions, copy.measured().positions)
    assert copy.physics == OTHER
    assert copy._model is not stage._model
