"""An executor of arms with six joints: what is masked is neither waited for, nor followed, nor sent."""

import numpy as np
import pytest

from clwm_common.actions import JOINTS, POSES
from clwm_common.messages import ActionChunk, ChunkRequest, TeleopCommand
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor import events
from clwm_sai_executor.checks.chunk_check import ChunkCheck
from clwm_sai_executor.checks.chunk_rules import ChunkRefused
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.checks.start import StartCheck
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.inputs.joint_map import JointMap
from clwm_sai_executor.modes.steering import Steering
from clwm_sai_executor.outputs.outputs_node import to_trajectory
from clwm_sai_executor.path.inverse_kinematics import DualArmInverseKinematics
from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.path.motion import Motion
from clwm_sai_executor.scheduler import Scheduler

TOPIC, MASKED = "/joint_states", [6, 13]


@pytest.fixture(scope="module")
def aloha():
    return RobotDescription.load("dual_aloha")


def at(robot, joints, openings=(0.1, 0.1)):
    return DualArmKinematics(robot).row(joints, openings)


def test_the_arms_are_measured_when_each_joint_that_they_have_is_known(aloha):
    names = [*aloha.joint_names, aloha.left.gripper.finger_joint, aloha.right.gripper.finger_joint]
    joint_map = JointMap(aloha)
    assert joint_map.measured(TOPIC, 1.0, names[1:], [0.1] * 13, [0.0] * 13) is None
    arms = joint_map.measured(TOPIC, 1.01, names, [0.1 * place for place in range(14)], [1.0] * 14)
    assert arms.positions.shape == arms.velocities.shape == (14,)
    np.testing.assert_allclose(arms.positions[aloha.channels], 0.1 * np.arange(12))
    assert not arms.positions[MASKED].any() and not arms.velocities[MASKED].any()
    np.testing.assert_allclose(arms.widths, [2.4, 2.6])


def test_the_joint_that_is_outside_its_limits_is_named(aloha):
    positions = aloha.home
    positions[12] = 4.0
    said = StartCheck(aloha).refusal(MeasuredArms(0.0, positions, np.zeros(14), np.array([0.1, 0.1])))
    assert said.startswith("joint right vx300s_right/wrist_rotate is at 4.000 rad")
    velocities = np.zeros(14)
    velocities[7] = 2.0
    moving = MeasuredArms(0.0, aloha.home, velocities, np.array([0.1, 0.1]))
    assert "joint right vx300s_right/waist moves at 2.00 rad/s" in StartCheck(aloha).unrest(moving)


@pytest.mark.parametrize("follow", ["joints", "poses"])
def test_masked_channels_of_a_chunk_are_not_followed(aloha, follow):
    config = SchedulerConfig(follow=follow)
    limits = MotionLimits.of(aloha)
    solver = DualArmInverseKinematics(aloha, limits) if follow == "poses" else None
    start = at(aloha, aloha.home)
    rows = np.tile(start, (16, 1))
    rows[4:, [JOINTS.start + place for place in MASKED]] = 0.4
    request = ChunkRequest(chunk_id=1, task_epoch=0, observe_at=10.0, needed_by=11.0, committed_prefix=rows[:4])
    chunk = ActionChunk(1, 0, 10.0, rows, prefix_rows=4, observation_stamp=10.0)
    checked = ChunkCheck(aloha, config, solver).check(10.1, chunk, request)
    assert not checked.joints[:, MASKED].any()
    np.testing.assert_allclose(checked.joints, np.tile(aloha.home, (12, 1)), atol=2e-3)


def test_a_trajectory_has_the_joints_that_the_arm_has(aloha):
    motion = Motion(aloha, SchedulerConfig(), lambda joints, openings: np.zeros(30, np.float32))
    motion._restart(1000.0, aloha.home, np.array([0.1, 0.1]))
    left, right = motion.messages(1000.0)
    assert left.positions.shape[1] == right.velocities.shape[1] == 6
    message = to_trajectory(right, aloha.right.joint_names)
    assert [len(point.positions) for point in message.points] == [6] * len(message.points)
    np.testing.assert_allclose(message.points[0].positions, aloha.right.home)


def test_what_is_not_measured_is_told_as_not_valid(aloha):
    scheduler = Scheduler(aloha, SchedulerConfig())
    state = MeasuredArms(5.0, aloha.home, np.zeros(14), np.array([0.1, 0.1]))
    (told,) = [it.state for it in scheduler.step(5.0, state) if isinstance(it, events.PublishState)]
    assert np.flatnonzero(~told.valid).tolist() == [JOINTS.start + place for place in MASKED]


def steered(robot, valid, target, solver=None):
    steering = Steering(robot, SchedulerConfig(), MotionLimits.of(robot), solver)
    steering.begin(robot.home, np.array([0.1, 0.1]))
    for stamp in (1.0, 1.02):
        steering.take(TeleopCommand(stamp, "test", True, np.asarray(target, np.float32), valid))
    return steering.rows(1.02, robot.home, np.zeros(14), np.zeros(14))[0]


def test_a_human_moves_the_six_joints_whether_the_seventh_is_asked_for_or_not(aloha):
    target, valid = np.zeros(30), np.zeros(30, np.bool_)
    target[JOINTS] = aloha.home + 0.05
    valid[JOINTS] = True
    all_seven = steered(aloha, valid, target)
    assert (all_seven[-1, aloha.channels] > aloha.home[aloha.channels]).all() and not all_seven[:, MASKED].any()
    valid[[JOINTS.start + place for place in MASKED]] = False
    np.testing.assert_array_equal(steered(aloha, valid, target), all_seven)


def test_a_target_of_half_an_arm_or_of_masked_joints_alone_is_refused(aloha):
    valid = np.zeros(30, np.bool_)
    valid[JOINTS.start : JOINTS.start + 5] = True
    with pytest.raises(ChunkRefused, match="asks for 5 joints .* expected all 6 joints of an arm"):
        steered(aloha, valid, np.zeros(30))
    alone = np.arange(30) == JOINTS.start + 6
    with pytest.raises(ChunkRefused, match="asks for 0 joints and 0 numbers of poses; expected all 6"):
        steered(aloha, alone, np.zeros(30))


def test_a_human_leads_the_tools_of_six_joints_by_poses(aloha):
    solver = DualArmInverseKinematics(aloha, MotionLimits.of(aloha))
    target = at(aloha, aloha.home).astype(np.float64)
    target[2] += 0.02
    valid = np.zeros(30, np.bool_)
    valid[POSES] = True
    rows = steered(aloha, valid, target, solver)
    assert not rows[:, MASKED].any()
    assert DualArmKinematics(aloha).poses(rows[-1])[0, 2] > target[2] - 0.015


def test_poses_within_reach_are_met_and_masked_joints_stay(aloha):
    kinematics, solver = DualArmKinematics(aloha), DualArmInverseKinematics(aloha)
    way = np.linspace(0.0, 1.0, 12)[:, None] * np.array([0.2, 0.15, -0.2, 0.1, 0.2, -0.3, 0.0] * 2)
    wanted = np.array([kinematics.poses(row) for row in aloha.home + way])
    joints, residuals = solver.rows(aloha.home, wanted)
    assert residuals[:, :, 0].max() < 1e-3 and residuals[:, :, 1].max() < 5e-3
    assert np.abs(joints[:, MASKED]).max() < 1e-9


def test_the_elbow_of_six_joints_does_not_stretch(aloha):
    limits, given = DualArmInverseKinematics(aloha)._limits, MotionLimits.of(aloha)
    changed = (limits.lower != given.lower) | (limits.upper != given.upper)
    assert np.flatnonzero(changed).tolist() == [2, 9]


def test_clearances_of_six_joints_are_finite_and_sink_with_the_tool(aloha):
    margins = margins_of(aloha)
    lower = aloha.home.copy()
    lower[1] += 0.9
    high, low = margins(np.stack([aloha.home, lower])).table
    assert np.isfinite([high, low]).all() and low < high
