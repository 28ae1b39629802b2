"""TwoArmLift in this project's terms; what needs robosuite itself runs where CLWM_ROBOSUITE_PYTHON names it."""

import os
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from clwm_common.robot.description import RobotDescription
from clwm_evaluation.suites.episodes import Job
from clwm_evaluation.yardsticks.cell import FOVY, POT, Cell, action
from clwm_evaluation.yardsticks.lift_world import TwoArmLiftWorld
from clwm_evaluation.yardsticks.robosuite_process import RobosuiteProcess, YardstickError
from clwm_evaluation.yardsticks.trials import EXPERT, HOLD, LEVEL, TASK, LiftTrials
from clwm_sim.cameras import CAMERAS, camera_id
from clwm_sim.world import ROBOT, World

ROBOSUITE = os.environ.get("CLWM_ROBOSUITE_PYTHON")
needs_robosuite = pytest.mark.skipif(ROBOSUITE is None, reason="CLWM_ROBOSUITE_PYTHON names no Python with robosuite")
UPRIGHT = [1.0, 0.0, 0.0, 0.0]
ABOUT = {
    "bases": [[-0.56, -0.25, 0.912, *UPRIGHT], [-0.56, 0.25, 0.912, *UPRIGHT]],
    "table": [0.0, 0.0, 0.8],
    "handles": [[0.0, 0.155, 0.06], [0.0, -0.155, 0.06]],
    "handle_width": 0.02,
    "half_height": 0.07,
    "pot_mass": 1.2,
    "step": 0.01,
    "lag": 0.06,
}


class PerfectRobosuite:
    """Stands in for robosuite: joints are where they are told to be, the pot where `height` says."""

    about = ABOUT

    def __init__(self):
        self.actions, self.placed = [], []
        self.height, self.success = 0.87, False

    def reset(self, seed, home):
        self._joints, self._openings = [np.array(joints) + 0.01 for joints in home], [0.08, 0.08]
        return self.state()

    def advance(self, actions):
        self.actions += list(actions)
        parts = np.split(actions[-1], 2)
        self._joints, self._openings = [part[:7] for part in parts], [part[7] for part in parts]
        return self.state()

    def place(self, camera, position, quaternion, fovy):
        self.placed.append(camera)

    def render(self, camera, size):
        return np.full((size, size, 3), 7, np.uint8)

    def state(self):
        robots = [
            {"joints": joints.tolist(), "velocities": [0.0] * 7, "fingers": [opening / 2, -opening / 2]}
            for joints, opening in zip(self._joints, self._openings, strict=True)
        ]
        return {"robots": robots, "pot": [0.0, 0.0, self.height, 0, 0, 0, 1], "speed": 0.0, "success": self.success}


@pytest.fixture
def cell():
    return Cell.of(ABOUT, RobotDescription.load(ROBOT))


@pytest.fixture
def robosuite():
    return PerfectRobosuite()


@pytest.fixture
def world(robosuite):
    world = TwoArmLiftWorld(robosuite)
    world.reset(0)
    return world


def test_arms_stand_where_robosuites_do_over_the_table_and_the_left_one_is_its_second(cell):
    np.testing.assert_allclose(cell.robot.left.base_position, [0.0, 0.25, 0.112])
    np.testing.assert_allclose(cell.robot.right.base_position, [0.0, -0.25, 0.112])


def test_arms_that_face_one_another_are_refused():
    turned = ABOUT | {"bases": [[0.5, -0.25, 0.9, 0.0, 0.0, 0.0, 1.0], ABOUT["bases"][1]]}
    with pytest.raises(ValueError, match="expected arms side by side"):
        Cell.of(turned, RobotDescription.load(ROBOT))


def test_an_action_has_the_right_arm_first_and_runs_ahead_of_moving_joints():
    found = action(np.arange(14.0), np.eye(14)[8], np.array([0.01, 0.02]), lag=0.06)
    np.testing.assert_allclose(found, [7, 8.06, *range(9, 14), 0.02, *range(7), 0.01])


def test_measured_arms_come_left_first_and_openings_are_both_fingers(cell):
    robots = [{"joints": [n] * 7, "velocities": [-n] * 7, "fingers": [0.01 * n, -0.01 * n]} for n in (1.0, 2.0)]
    found = cell.measured({"robots": robots})
    np.testing.assert_allclose(found.positions, [2.0] * 7 + [1.0] * 7)
    np.testing.assert_allclose(found.velocities, [-2.0] * 7 + [-1.0] * 7)
    np.testing.assert_allclose(found.widths, [0.04, 0.02])


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_the_pots_frame_is_at_its_bottom_and_its_first_handle_is_the_left_arms(cell, robosuite, tilt):
    robosuite.reset(0, cell.home())
    turn = Rotation.from_euler("zx", [np.pi, tilt])
    middle = np.array([0.02, 0.03, 0.8]) + turn.apply([0.0, 0.0, 0.07])
    state = cell.situation(robosuite.state() | {"pot": [*middle, *turn.as_quat(scalar_first=True)]}).objects[POT]
    np.testing.assert_allclose(state.position, [0.58, 0.03, 0.0], atol=1e-9)
    left, right = (state.at(grip) for grip in cell.layout.things[POT].grips)
    assert left[1] > 0.1 > -0.1 > right[1]
    if not tilt:
        np.testing.assert_allclose(left, [0.58, 0.03 + 0.155, 0.13], atol=1e-9)


def test_cameras_are_where_those_of_our_own_simulation_are():
    ours = World("pot:lift_pot", seed=2)
    bases = [[*arm.base_position, *UPRIGHT] for arm in (ours.robot.right, ours.robot.left)]
    alike = Cell.of(ABOUT | {"bases": bases, "table": [0.0, 0.0, 0.0]}, ours.robot)
    model, data = ours.compiled
    for camera, (place, quaternion) in alike.camera_poses(ours.measured().positions).items():
        number = camera_id(model, camera)
        np.testing.assert_allclose(place, data.cam_xpos[number], atol=1e-5)
        axes = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
        np.testing.assert_allclose(axes, data.cam_xmat[number].reshape(3, 3), atol=1e-4)
        assert FOVY[camera] == model.cam_fovy[number]


def test_cameras_are_put_in_place_once(world, robosuite):
    world.reset(1)
    assert robosuite.placed == ["agentview", "robot1_eye_in_hand", "robot0_eye_in_hand"]


def test_what_is_set_for_each_step_of_ours_is_asked_for_and_the_last_one_told_ahead_of_the_lag(world, robosuite):
    asked = []
    home, widths = world.setpoint()
    world.advance(0.02, lambda at: (asked.append(at), (home + at, widths))[1])
    np.testing.assert_allclose(asked, np.arange(1, 9) * 0.0025)
    np.testing.assert_allclose(robosuite.actions[1][:7], home[7:] + 0.02 + 0.06)  # 1 rad/s
    np.testing.assert_allclose(robosuite.actions[1][8:15], home[:7] + 0.02 + 0.06)


def test_an_episode_is_over_as_soon_as_robosuite_counts_it_as_success(world, robosuite):
    world.advance(0.1)
    assert not world.succeeded() and not world.failed()
    robosuite.success = True
    world.advance(5.0)
    assert world.succeeded() and not world.failed() and world.reason("") == ""
    assert world.time == pytest.approx(0.12)


def test_a_pot_on_the_floor_is_a_failure_at_once(world, robosuite):
    robosuite.height = 0.3
    world.advance(0.02)
    assert world.failed() and not world.succeeded() and world.reason("") == "never grasped"


def test_arms_that_hold_run_out_of_time_under_the_virtual_clock_and_are_pictured(robosuite):
    outcome, seen = LiftTrials(robosuite, None).run(Job(3, TASK, "zero-shot", HOLD))
    assert (outcome.outcome, outcome.reason, outcome.seconds) == ("timeout", "never grasped", 14.0)
    assert seen.strip.startswith(b"\xff\xd8"), "a JPEG"


def test_a_success_without_both_hands_on_the_pot_counts_and_is_not_called_level(robosuite):
    robosuite.success = True
    outcome, seen = LiftTrials(robosuite, None).run(Job(3, TASK, "zero-shot", HOLD))
    assert outcome.succeeded and outcome.others == () and outcome.reason == "" and seen.strip is None


def test_channels_that_no_chunk_has_are_refused(robosuite):
    with pytest.raises(YardstickError, match="follow 'torques' is unknown; expected one of joints, poses"):
        LiftTrials(robosuite, None, "torques")


@pytest.mark.parametrize("python", [sys.executable, "/nowhere/python"])
def test_a_python_without_robosuite_is_refused_with_what_to_do(python):
    if ROBOSUITE == python:
        pytest.skip("this Python has robosuite")
    with pytest.raises(YardstickError, match="pip install --no-deps robosuite|name the Python of robosuite's"):
        RobosuiteProcess(python)


@pytest.fixture(scope="module")
def process():
    process = RobosuiteProcess(ROBOSUITE)
    yield process
    process.close()


@needs_robosuite
def test_robosuite_is_as_the_stand_in_says(process):
    for name in ("bases", "table", "handles"):
        np.testing.assert_allclose(process.about[name], ABOUT[name], atol=1e-9)
    assert {name: process.about[name] for name in ("step", "handle_width")} == {"step": 0.01, "handle_width": 0.02}


@needs_robosuite
def test_our_kinematics_have_the_hands_where_robosuite_has_them_and_arms_follow_without_lag(process):
    world = TwoArmLiftWorld(process)
    world.reset(5)
    theirs = np.array([world._state["robots"][index]["tool"] for index in (1, 0)]) - [-0.56, 0.0, 0.8]
    # Their tool centre point is 7 mm further back in the hand.
    np.testing.assert_allclose(np.linalg.norm(world.situation().tcp - theirs, axis=1), 0.0069, atol=1e-5)
    home, widths = world.setpoint()
    world.advance(0.6, lambda at: (home + 0.2 * at * np.eye(14)[[0, 8]].sum(axis=0), widths))
    np.testing.assert_allclose(world.measured().positions, world.setpoint()[0], atol=2e-3)


@needs_robosuite
def test_the_expert_lifts_robosuites_pot_and_the_same_seed_goes_the_same_way(process):
    trials = LiftTrials(process, None)
    first, again = (trials.run(Job(9, TASK, "zero-shot", EXPERT))[0] for _ in range(2))
    assert first.succeeded and first.others == (LEVEL,) and first == again


@needs_robosuite
def test_wrist_pictures_change_with_the_hand_and_the_head_has_stayed(process):
    world = TwoArmLiftWorld(process)
    world.reset(5)
    before = {camera: world.render(camera).astype(float) for camera in CAMERAS}
    home, widths = world.setpoint()
    world.advance(0.5, lambda at: (home + 0.6 * min(at / 0.4, 1.0) * np.eye(14)[6], widths))
    change = {camera: np.abs(world.render(camera) - before[camera]).mean() for camera in CAMERAS}
    assert change["left_wrist"] > 10.0 > 2.0 > change["right_wrist"] and change["head"] < 5.0
