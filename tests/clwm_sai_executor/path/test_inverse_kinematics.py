"""Poses from forward kinematics come back as joints that have them, smoothly and within limits."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.actions import ROW_DT
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor.path.inverse_kinematics import DualArmInverseKinematics
from clwm_sai_executor.path.limits import MotionLimits

ROWS = 12
JERK_SHARE = 0.1  # of the limit of 5000 rad/s^3


@pytest.fixture(scope="module")
def kinematics(robot):
    return DualArmKinematics(robot)


@pytest.fixture(scope="module")
def solver(robot):
    return DualArmInverseKinematics(robot)


def poses_along(kinematics, joints):
    return np.array([kinematics.poses(row) for row in joints])


def misses(kinematics, joints, poses):
    """Largest distance [m] and angle [deg] of the poses of `joints` from `poses`."""
    reached = poses_along(kinematics, joints)
    cosine = np.abs((reached[..., 3:] * poses[..., 3:]).sum(-1)).clip(0.0, 1.0)
    return np.linalg.norm(reached[..., :3] - poses[..., :3], axis=-1).max(), np.degrees(2 * np.arccos(cosine).max())


def swing(middle, size, seed, rows=ROWS + 1):
    """A smooth motion (rows, 14) of all joints around `middle`, at most `size` rad away from it."""
    rng = np.random.default_rng(seed)
    phase, rate = rng.uniform(0.0, 2 * np.pi, 14), rng.uniform(0.2, 1.0, 14)
    return middle + size * np.sin(2 * np.pi * rate * ROW_DT * np.arange(rows)[:, None] + phase)


def test_model_of_mink_has_the_same_tools_as_the_kinematics_of_everything_else(solver, kinematics, limits):
    for joints in np.random.default_rng(0).uniform(limits.lower, limits.upper, (20, 14)):
        ours, theirs = solver.poses(joints), kinematics.poses(joints)
        np.testing.assert_allclose(ours[:, :3], theirs[:, :3], atol=1e-9)
        np.testing.assert_allclose(np.abs((ours[:, 3:] * theirs[:, 3:]).sum(axis=1)), 1.0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.0, 0.3), offset=st.floats(0.0, 0.4))
def test_poses_of_a_smooth_motion_come_back_as_one(solver, kinematics, robot, limits, seed, size, offset):
    middle = robot.home + offset * np.random.default_rng(seed).uniform(-1.0, 1.0, 14)
    motion = swing(middle.clip(limits.lower + size, limits.upper - size), size, seed)
    wanted = poses_along(kinematics, motion[1:])
    joints, residuals = solver.rows(motion[0], wanted)
    away, turned = misses(kinematics, joints, wanted)
    assert away < 1e-3 and turned < 0.2
    np.testing.assert_allclose(residuals.max(axis=(0, 1)), [away, np.radians(turned)], atol=1e-4)
    path = np.concatenate([motion[:1], joints])
    assert (np.abs(np.diff(path, axis=0)) <= limits.velocity * ROW_DT + 1e-9).all()
    assert np.abs(np.diff(path, n=3, axis=0)).max() < JERK_SHARE * 5000.0 * ROW_DT**3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_near_limits_joints_stay_inside_and_the_tools_near_their_poses(solver, kinematics, limits, seed):
    rng = np.random.default_rng(seed)
    end = np.where(rng.random(14) < 0.5, limits.lower + 0.11, limits.upper - 0.11)
    middle = np.where(rng.random(14) < 0.3, end, rng.uniform(limits.lower + 0.4, limits.upper - 0.4))
    motion = swing(middle, 0.1, seed)
    joints, residuals = solver.rows(motion[0], poses_along(kinematics, motion[1:]))
    assert (joints >= limits.lower).all() and (joints <= limits.upper).all()
    steps = np.abs(np.diff(np.concatenate([motion[:1], joints]), axis=0))
    assert (steps <= limits.velocity * ROW_DT + 1e-9).all()
    assert residuals[..., 0].max() < 0.02, "also where an arm is nearly singular at once with a joint at its limit"


def test_arm_that_is_asked_to_stretch_beyond_its_reach_stretches_evenly_and_comes_back(solver, kinematics, robot):
    poses = np.repeat(kinematics.poses(robot.home)[None], 70, axis=0)
    poses[:60, :, 0] += 0.6 * np.sin(np.linspace(0.0, np.pi, 60))[:, None]
    joints, residuals = solver.rows(robot.home, poses)
    path = np.concatenate([robot.home[None], joints])
    assert residuals[30, :, 0].min() > 0.1, "out of reach, and said so"
    assert np.abs(np.diff(path, n=2, axis=0)).max() < 0.15
    stretched = joints[20:40, [3, 10]]
    assert np.ptp(stretched) < 1e-3, "the elbows do not swing there"
    assert residuals[-1].max() < 1e-3 and np.abs(joints[-1] - robot.home).max() < 1e-2, "all as before"


def test_pose_far_away_is_approached_no_faster_than_the_joints_may_go(robot, kinematics):
    limits = MotionLimits.of(robot, velocity_scale=0.3)
    solver = DualArmInverseKinematics(robot, limits)
    poses = np.repeat(kinematics.poses(robot.home)[None], 10, axis=0)
    poses[:, :, 1] += 0.3
    joints, residuals = solver.rows(robot.home, poses)
    steps = np.abs(np.diff(np.concatenate([robot.home[None], joints]), axis=0))
    assert (steps <= limits.velocity * ROW_DT + 1e-9).all()
    assert residuals[0, :, 0].min() > 0.2 and (np.diff(residuals[:, :, 0], axis=0) < 1e-4).all()


def test_other_sign_of_a_quaternion_is_the_same_pose(solver, kinematics, robot):
    poses = poses_along(kinematics, swing(robot.home, 0.2, 1))
    flipped = poses.copy()
    flipped[::2, :, 3:] *= -1.0
    np.testing.assert_allclose(solver.rows(robot.home, flipped)[0], solver.rows(robot.home, poses)[0], atol=1e-9)


def test_same_rows_come_out_whatever_was_solved_before(solver, kinematics, robot):
    poses = poses_along(kinematics, swing(robot.home, 0.2, 2))
    first, _ = solver.rows(robot.home, poses)
    solver.rows(robot.home + 0.3, poses[::-1])
    np.testing.assert_array_equal(solver.rows(robot.home, poses)[0], first)


def test_elbow_keeps_the_posture_that_it_is_given_and_returns_home_slowly_without_one(solver, kinematics, robot):
    start = robot.home + np.tile([0.3, 0.0, -0.3, 0.0, 0.0, 0.0, 0.0], 2)
    still = np.repeat(kinematics.poses(start)[None], 100, axis=0)
    kept, _ = solver.rows(start, still, posture=start)
    assert np.abs(kept - start).max() < 1e-4
    drawn, residuals = solver.rows(start, still)
    assert np.abs(drawn[-1] - robot.home).sum() < np.abs(start - robot.home).sum() - 0.1
    assert np.abs(np.diff(drawn, axis=0)).max() < 0.02 and residuals.max() < 1e-3


def test_arms_outside_their_limits_are_led_back_in_and_never_farther_out(solver, kinematics, robot, limits):
    start = robot.home.copy()
    start[3] = limits.upper[3] + 0.2
    joints, _ = solver.rows(start, np.repeat(kinematics.poses(robot.home)[None], ROWS, axis=0))
    assert joints[0, 3] < start[3] and joints[-1, 3] <= limits.upper[3]
    outward, _ = solver.rows(start, np.repeat(kinematics.poses(start)[None], ROWS, axis=0))
    assert outward[:, 3].max() <= start[3]


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=3),
    turn=st.lists(st.floats(-1.0, 1.0, width=32), min_size=4, max_size=4),
)
def test_pose_of_any_finite_numbers_leaves_the_joints_within_reach_and_is_said_to_be_missed(
    solver, kinematics, robot, limits, numbers, turn
):
    poses = np.repeat(kinematics.poses(robot.home)[None], 3, axis=0)
    poses[1, 0, :3] = numbers
    if np.linalg.norm(turn) > 0.1:
        poses[1, 0, 3:] = turn / np.linalg.norm(turn)
    joints, residuals = solver.rows(robot.home, poses)
    steps = np.abs(np.diff(np.concatenate([robot.home[None], joints]), axis=0))
    assert (steps <= limits.velocity * ROW_DT + 1e-9).all(), "also when no arm could ever have it"
    assert np.linalg.norm(poses[1, 0, :3] - poses[0, 0, :3]) < 0.3 or residuals[1, 0].max() > 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(solver, kinematics, robot, value):
    poses = kinematics.poses(robot.home)[None].copy()
    poses[0, 1, 2] = value
    with pytest.raises(ValueError, match="not finite"):
        solver.rows(robot.home, poses)
    poses = kinematics.poses(robot.home)[None]
    with pytest.raises(ValueError, match="not finite"):
        solver.rows(np.full(14, value), poses)


def test_quaternion_that_is_no_rotation_is_refused(solver, kinematics, robot):
    poses = kinematics.poses(robot.home)[None].copy()
    poses[0, 0, 3:] = 0.0
    with pytest.raises(ValueError, match="not of length 1"):
        solver.rows(robot.home, poses)


def test_chunk_of_twelve_rows_takes_a_few_milliseconds(solver, kinematics, robot):
    motion = swing(robot.home, 0.2, 3)
    wanted, times = poses_along(kinematics, motion[1:]), []
    for _ in range(20):
        began = time.thread_time()
        solver.rows(motion[0], wanted)
        times.append(time.thread_time() - began)
    assert np.median(times) < 0.02, "4 ms of processor time where it was measured"
