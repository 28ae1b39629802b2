"""Chunks whose poses move the arms instead of their joints."""

import numpy as np
import pytest

from clwm_common.actions import JOINTS, LEFT_POSITION, POSES, ROW_DT
from clwm_common.messages import Mode
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor import events
from clwm_sai_executor.phase import Phase


@pytest.fixture(scope="module")
def kinematics(robot):
    return DualArmKinematics(robot)


@pytest.fixture
def stack(make_stack):
    return make_stack(follow="poses")


def chunk_of_poses(stack, kinematics, speed=0.2):
    """An answer whose poses move all joints at `speed` rad/s, and whose joints stand still."""
    chunk = stack.chunk(speed=0.0)
    start = chunk.rows[chunk.prefix_rows - 1, JOINTS].astype(np.float64)
    for index in range(chunk.prefix_rows, 16):
        joints = start + speed * ROW_DT * (index + 1 - chunk.prefix_rows)
        chunk.rows[index, POSES] = kinematics.poses(joints).ravel()
    return chunk


def deliver(stack, chunk, latency=0.1):
    stack.run_until(max(stack.now, stack.requests[-1].observe_at + latency))
    return stack.do(events.ChunkArrived(chunk))


def test_tools_go_along_the_poses_whatever_the_joint_channels_say(stack, kinematics):
    stack.begin()
    deliver(stack, chunk_of_poses(stack, kinematics))
    path = stack.scheduler.path
    for row in range(6, 16):  # the first rows lead over from rest
        wanted = kinematics.poses(stack.robot.home + 0.2 * ROW_DT * row)
        reached = kinematics.poses(path.knot(path.last_row - 15 + row)[0])
        assert np.abs(reached[:, :3] - wanted[:, :3]).max() < 2e-4
    assert stack.scheduler.metrics.counted("missed_poses") == 0


def test_chunks_of_poses_follow_one_another_without_a_jump(stack, kinematics, limits):
    stack.begin()
    for speed in (0.2, -0.3, 0.4, 0.0):
        deliver(stack, chunk_of_poses(stack, kinematics, speed))
    stack.run_until(stack.now + 2.0)
    for message in stack.controller.messages:
        positions = np.concatenate([arm.positions for arm in message], axis=1)
        assert np.abs(np.diff(positions, axis=0)).max() < 0.05
        velocities = np.concatenate([arm.velocities for arm in message], axis=1)
        assert (np.abs(velocities) <= limits.velocity).all() and not velocities[-1].any()
    assert stack.scheduler.metrics.counted("chunks") == 4 and stack.scheduler.fault == ""


def test_pose_a_little_out_of_reach_is_followed_as_near_as_can_be_and_counted(make_stack, kinematics):
    stack = make_stack(follow="poses", velocity_scale=0.1)
    stack.begin()
    chunk = chunk_of_poses(stack, kinematics, 0.0)
    chunk.rows[-1, LEFT_POSITION] += [0.0, 0.03, 0.0]
    deliver(stack, chunk)
    assert stack.scheduler.phase is Phase.MOVING and stack.scheduler.mode is Mode.POLICY
    assert stack.scheduler.metrics.summary()["missed_poses"] == 1


@pytest.mark.parametrize("where", ["a leap", "out of reach", "no rotation", "NaN"])
def test_pose_that_no_arm_can_have_refuses_the_chunk_and_the_arms_hold_with_the_reason_latched(
    stack, kinematics, where
):
    reasons = {
        "a leap": "row 9: the left arm gets no nearer than",
        "out of reach": "the left arm gets no nearer than",
        "no rotation": "quaternion of length 0.000",
        "NaN": "left_x is nan",
    }
    stack.begin()
    deliver(stack, chunk_of_poses(stack, kinematics))
    chunk = chunk_of_poses(stack, kinematics)
    match where:
        case "a leap":
            chunk.rows[9, LEFT_POSITION] += 0.2
        case "out of reach":
            chunk.rows[chunk.prefix_rows :, 0] += np.linspace(0.0, 1.0, 16 - chunk.prefix_rows)
        case "no rotation":
            chunk.rows[9, 3:7] = 0.0
        case "NaN":
            chunk.rows[9, 0] = np.nan
    deliver(stack, chunk)
    assert stack.scheduler.mode is Mode.HOLD and reasons[where] in stack.scheduler.fault
    stack.run_until(stack.now + 1.0)
    assert stack.scheduler.is_at_rest and not stack.controller.sample(stack.now)[1].any()
    stack.resume()
    assert stack.scheduler.fault == "" and stack.scheduler.phase is Phase.ASKED
