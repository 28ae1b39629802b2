"""A human leads the arms by poses of their tool centre points."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_common.actions import JOINTS, LEFT_EEF, LEFT_JOINTS, POSES
from clwm_common.messages import Mode
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor import events
from clwm_sai_executor.modes.steering import DELAY
from clwm_sai_executor.phase import Phase

BOTH = np.zeros(30, np.bool_)
BOTH[POSES] = True
LEFT = np.zeros(30, np.bool_)
LEFT[LEFT_EEF] = True


@pytest.fixture(scope="module")
def kinematics(robot):
    return DualArmKinematics(robot)


@pytest.fixture
def stack(make_stack):
    return make_stack(teleop_poses=True)


def target(poses, joints=None):
    values = np.zeros(30, np.float32)
    values[POSES] = np.ravel(poses)
    values[JOINTS] = 0.0 if joints is None else joints
    return values


def take_over(stack, kinematics):
    stack.begin()
    stack.ask(target=target(kinematics.poses(stack.robot.home)), valid=BOTH)
    stack.do(events.ModeSet(Mode.TELEOP))
    assert stack.scheduler.mode is Mode.TELEOP, stack.reports


def lead(stack, hand, seconds, valid=BOTH):
    """Poses `hand(time)` -> (2, 7), 50 times a second."""
    start = stack.now
    while stack.now < start + seconds - 1e-9:
        stack.ask(target=target(hand(stack.now - start)), valid=valid)
        stack.run_until(stack.now + 0.02, 0.01)


def test_tools_follow_the_hand_a_tenth_of_a_second_behind(stack, kinematics):
    take_over(stack, kinematics)
    begin = kinematics.poses(stack.robot.home)

    def hand(time):
        poses = begin.copy()
        poses[:, 0] += 0.06 * (1.0 - np.cos(np.pi * time))
        poses[:, 2] -= 0.05 * np.sin(np.pi * time)
        return poses

    start = stack.now
    for _ in range(10):
        until = stack.now - start
        lead(stack, lambda time, until=until: hand(until + time), 0.2)
        reached = kinematics.poses(stack.controller.sample(stack.now)[0])
        wanted = hand(max(stack.now - start - DELAY, 0.0))
        assert np.abs(reached[:, :3] - wanted[:, :3]).max() < 0.02, "at up to 0.25 m/s"
    lead(stack, lambda time: hand(2.0), 0.5)
    reached = kinematics.poses(stack.controller.sample(stack.now)[0])
    assert np.abs(reached[:, :3] - begin[:, :3]).max() < 1e-3
    assert np.abs(stack.controller.sample(stack.now)[0] - stack.robot.home).max() < 0.02, "its elbow, too"


def test_arm_without_a_pose_stays_and_one_with_joints_follows_these(stack, kinematics):
    take_over(stack, kinematics)
    home = stack.robot.home
    poses = kinematics.poses(home)
    poses[:, 2] += 0.03
    for _ in range(50):
        stack.ask(target=target(poses), valid=LEFT)
        stack.run_until(stack.now + 0.02)
    reached = stack.controller.sample(stack.now)[0]
    assert np.abs(kinematics.poses(reached)[0] - poses[0]).max() < 1e-3
    np.testing.assert_allclose(reached[7:], home[7:], atol=1e-6)
    both = LEFT.copy()
    both[LEFT_JOINTS] = True
    for _ in range(50):
        stack.ask(target=target(poses, home), valid=both)
        stack.run_until(stack.now + 0.02)
    np.testing.assert_allclose(stack.controller.sample(stack.now)[0], home, atol=1e-3)


def test_hand_out_of_reach_is_followed_as_near_as_the_arms_come_and_back(stack, kinematics):
    take_over(stack, kinematics)
    begin = kinematics.poses(stack.robot.home)

    def hand(time):
        poses = begin.copy()
        poses[:, 0] += 0.35 * (1.0 - np.cos(np.pi * time / 3.0))
        return poses

    lead(stack, hand, 6.5)
    assert stack.scheduler.mode is Mode.TELEOP and stack.scheduler.fault == ""
    lead(stack, lambda time: begin, 0.5)
    assert np.abs(stack.controller.sample(stack.now)[0] - stack.robot.home).max() < 0.05


BROKEN = {
    "a leap": (lambda poses: poses + [[0.08, 0, 0, 0, 0, 0, 0]], BOTH, "0.080 m and 0.0 deg from the arm or the pose"),
    "NaN": (lambda poses: poses * np.nan, BOTH, "not finite"),
    "no rotation": (lambda poses: poses * [1, 1, 1, 0, 0, 0, 0], BOTH, "quaternion of length 0.000"),
    "half a pose": (lambda poses: poses, np.arange(30) < 3, "3 numbers of poses; expected all 7"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_pose_stops_the_arms_and_the_reason_is_latched(stack, kinematics, what):
    change, valid, reason = BROKEN[what]
    take_over(stack, kinematics)
    poses = kinematics.poses(stack.robot.home)
    lead(stack, lambda time: poses, 0.2)
    stack.ask(target=target(change(poses)), valid=valid)
    assert stack.scheduler.mode is Mode.HOLD and reason in stack.scheduler.fault
    stack.run_until(stack.now + 1.0)
    assert not stack.controller.sample(stack.now)[1].any()


def test_hand_far_from_the_tool_does_not_get_the_arms(stack, kinematics):
    stack.begin()
    far = kinematics.poses(stack.robot.home)
    far[1, 1] += 0.2
    stack.ask(target=target(far), valid=BOTH)
    stack.do(events.ModeSet(Mode.TELEOP))
    assert stack.scheduler.mode is Mode.POLICY and "bring the source to where the arms are" in stack.reports[-1]


def test_poses_that_went_before_joints_are_no_measure_for_those_after_them(stack, kinematics):
    take_over(stack, kinematics)
    home = stack.robot.home
    stack.steer(lambda time: home + 0.2 * time, 1.0)
    now_at = kinematics.poses(stack.controller.sample(stack.now)[0])
    lead(stack, lambda time: now_at, 0.2)
    assert stack.scheduler.mode is Mode.TELEOP


def test_released_switch_brakes_arms_that_are_led_by_poses(stack, kinematics):
    take_over(stack, kinematics)
    begin = kinematics.poses(stack.robot.home)
    lead(stack, lambda time: begin + [0.15 * time, 0, 0, 0, 0, 0, 0], 0.6)
    assert np.abs(stack.controller.sample(stack.now)[1]).max() > 0.1
    stack.ask(dead_man=False)
    stack.run_until(stack.now + 0.4)
    assert stack.scheduler.mode is Mode.HOLD and not stack.controller.sample(stack.now)[1].any()


def test_executor_that_was_not_told_to_take_poses_says_how_to(make_stack, kinematics):
    stack = make_stack()
    stack.begin()
    stack.ask(target=target(kinematics.poses(stack.robot.home)), valid=BOTH)
    stack.do(events.ModeSet(Mode.TELEOP))
    assert stack.scheduler.phase is not Phase.STEERED
    assert "set the executor's parameter 'teleop_poses'" in stack.reports[-1]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1))
def test_no_hand_however_wild_moves_the_arms_beyond_their_limits(make_stack, kinematics, limits, seed):
    rng = np.random.default_rng(seed)
    stack = make_stack(teleop_poses=True)
    take_over(stack, kinematics)
    poses = kinematics.poses(stack.robot.home)
    stack.run_until(stack.now + 0.01)
    for _ in range(60):
        poses[:, :3] += rng.uniform(-0.028, 0.028, (2, 3))
        poses[:, 3:] += rng.normal(0.0, 0.05, (2, 4)).clip(-0.08, 0.08)
        poses[:, 3:] /= np.linalg.norm(poses[:, 3:], axis=1, keepdims=True)
        stack.ask(target=target(poses), valid=BOTH)
        for _ in range(4):
            stack.now += 0.005
            stack.measure()
            position, velocity, acceleration = stack.controller.sample(stack.now)
            assert (np.abs(velocity) <= limits.velocity + 1e-6).all()
            assert (np.abs(acceleration) <= limits.acceleration + 1e-6).all()
            assert (position >= limits.lower - 1e-9).all() and (position <= limits.upper + 1e-9).all()
    assert stack.scheduler.mode is Mode.TELEOP, stack.scheduler.fault
