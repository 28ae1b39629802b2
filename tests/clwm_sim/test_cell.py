"""Any robot's arms in a cell of their own: they follow, their hands open, their cameras see, and nobody judges."""

import importlib.util

import numpy as np
import pytest

from clwm_common.messages import Judgement, Mode, TaskStatus
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_sim.cell import Cell
from clwm_sim.pacing import EpisodeSeen, JointsSeen, PacedSimulation, PictureTaken
from clwm_sim.shipped_tasks import UnknownTask
from tests.made_up_arms import one_arm, two_arms

BENT = [0.0, 0.5, 1.0, 0.0, 0.5, 0.0]


def described(tmp_path, text, **changes):
    """A robot of made-up arms, as `clwm new-robot` would have it."""
    (tmp_path / "arms.urdf").write_text(text)
    joints, is_one = 6, "left_joint1" not in text
    limits = {"position_lower": [-2.5] * joints, "position_upper": [2.5] * joints, "velocity": [2.0] * joints}
    data = {
        "name": "made_up",
        "simulated_as": "urdf",
        "urdf": str(tmp_path / "arms.urdf"),
        "base_link": "" if is_one else "left_base",
        "eef_frame": "tool",
        "tool": {"flange": "palm" if is_one else "left_palm", "hand_yaw": 0.0, "centre": 0.13},
        "limits": limits | {"acceleration": [4.0] * joints, "jerk": [400.0] * joints, "effort": [60.0] * joints},
        "cameras": ["head", "left_wrist", "right_wrist"],
    }
    for side, y, yaw in (("left", 0.3, -0.2), ("right", -0.3, 0.2)):
        data[side] = {
            "joint_names": [f"{side}_joint{number}" for number in range(1, joints + 1)],
            "base_position": [0.1, y, 0.04],
            "base_yaw": yaw,
            "home": BENT,
            "controller": {"kind": "jtc", "topic": f"/{side}_arm_controller/joint_trajectory"},
            "gripper": {
                "finger_joint": f"{side}_finger1",
                "command": {"kind": "topic", "name": f"/{side}_gripper/command"},
            },
        }
    return RobotDescription.model_validate(data | changes)


def swing(robot, seconds):
    """Joints (14,) and openings (2,): all joints by 0.3 rad upwards and back, gently, one hand half closed."""
    joints = robot.home.copy()
    joints[robot.channels] -= 0.15 * (1.0 - np.cos(np.pi * seconds))
    return joints, [0.04, 0.08]


@pytest.mark.parametrize("text", [one_arm(), two_arms()], ids=["one arm twice", "both arms"])
def test_arms_of_a_urdf_follow_their_set_points_and_their_hands_open(tmp_path, text):
    robot = described(tmp_path, text)
    cell = Cell(robot, 32)
    np.testing.assert_allclose(cell.measured().positions, robot.home, atol=1e-9)
    for tick in range(1, 101):
        cell.advance(0.01 * tick, lambda seconds: swing(robot, seconds))
        assert np.abs(cell.measured().positions - swing(robot, cell.time)[0]).max() < 0.03
    assert cell.time == pytest.approx(1.0)
    np.testing.assert_allclose(cell.measured().widths, [0.04, 0.08], atol=0.003)
    assert not cell.measured().positions[[6, 13]].any()


def test_arms_that_nobody_moves_stay_at_home(tmp_path):
    cell = Cell(described(tmp_path, two_arms()), 32)
    cell.advance(1.0)
    np.testing.assert_allclose(cell.measured().positions, cell.robot.home, atol=5e-3)


def test_a_cell_starts_anew_where_it_began_and_knows_no_task(tmp_path):
    cell = Cell(described(tmp_path, one_arm()), 32)
    cell.advance(0.5, lambda seconds: swing(cell.robot, seconds))
    cell.reset(3)
    assert cell.time == 0.0
    np.testing.assert_allclose(cell.measured().positions, cell.robot.home, atol=1e-9)
    with pytest.raises(UnknownTask, match="robot 'made_up' is simulated in a cell without tasks; leave the task out"):
        cell.reset(0, "lift_tray")


def test_a_cell_in_real_time_shows_joints_pictures_and_that_nothing_is_judged(tmp_path):
    robot = described(tmp_path, two_arms())
    cell = Cell(robot, 32)
    simulation = PacedSimulation(cell, robot, 0, 1000.0, 50.0)
    verdict = simulation.judge(TaskStatus(1000.0, Mode.POLICY, "MOVING", 1, 1000.0, "wave"))
    assert verdict.outcome is Judgement.UNJUDGED
    assert verdict.reason.startswith("this world cannot judge 'wave': it has no goals; publish a verdict of your own")
    seen = list(simulation.run(1000.1, 50.1))
    assert {type(it) for it in seen} >= {JointsSeen, PictureTaken, EpisodeSeen}
    assert {it.camera for it in seen if isinstance(it, PictureTaken)} == set(robot.cameras)
    pictures = [it.picture for it in seen if isinstance(it, PictureTaken)]
    assert all(picture.shape == (32, 32, 3) and picture.std() > 1.0 for picture in pictures)
    (status,) = {(it.task, it.succeeded, it.failed) for it in seen if isinstance(it, EpisodeSeen)}
    assert status == ("", False, False)
    cell.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"simulated_as": "/nowhere/cell.xml"}, "simulated_as of robot 'made_up': /nowhere/cell.xml does not exist"),
        ({"urdf": "/nowhere/arms.urdf"}, "URDF /nowhere/arms.urdf cannot be read: .* correct 'urdf'"),
        ({"base": True}, "base_position and base_yaw of the left arm differ by 0.100 from the URDF"),
        ({"joint": True}, "names joint 'left_elbow', which its simulation lacks; it has left_joint1"),
    ],
)
def test_what_a_simulation_lacks_is_named(tmp_path, changes, reason):
    robot = described(tmp_path, two_arms())
    if "base" in changes:
        changes = {"left": robot.left.model_copy(update={"base_position": [0.1, 0.4, 0.04]})}
    if "joint" in changes:
        changes = {"left": robot.left.model_copy(update={"joint_names": ["left_elbow", *robot.left.joint_names[1:]]})}
    with pytest.raises(RobotError, match=reason):
        Cell(robot.model_copy(update=changes), 32)


@pytest.mark.skipif(importlib.util.find_spec("gym_aloha") is None, reason="gym-aloha is not installed")
def test_alohas_arms_follow_in_the_cell_of_gym_aloha():
    robot = RobotDescription.load("dual_aloha")
    cell = Cell(robot, 32)
    for tick in range(1, 101):
        cell.advance(0.01 * tick, lambda seconds: (swing(robot, seconds)[0], [0.06, 0.11]))
        # Its drives have so much friction that they stop a little before where they are told to be.
        assert np.abs(cell.measured().positions - swing(robot, cell.time)[0]).max() < 0.08
    np.testing.assert_allclose(cell.measured().widths, [0.06, 0.11], atol=0.01)
    assert cell.render("top").std() > 1.0
    cell.close()
