"""Standstill and limits are found in joint states as they are, and not found where they are not."""

import numpy as np
import pytest

from clwm_chaos.motion_record import MotionRecord, limit_shares
from clwm_common.robot.description import RobotDescription

TICK = 0.01


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load("dual_fr3_mujoco")


def record_of(robot, velocity, start=0.0):
    """Joint 0 moves by `velocity` (n,) rad/s from home; the others stand."""
    velocities = np.zeros((len(velocity), 14))
    velocities[:, 0] = velocity
    home = np.concatenate([arm.home for arm in robot.arms])
    return MotionRecord(
        start + TICK * np.arange(len(velocity)), home + np.cumsum(velocities * TICK, axis=0), velocities
    )


def braking(speed, deceleration, until, before=0.5):
    times = np.arange(0.0, until, TICK)
    return np.clip(speed - deceleration * (times - before), 0.0, speed)


def test_standstill_is_where_the_last_joint_stops_and_travel_is_the_way_there(robot):
    record = record_of(robot, braking(0.8, 5.0, until=1.0))
    rest = record.rest_after(0.5)
    assert rest.at == pytest.approx(0.66, abs=0.011)
    assert rest.travel == pytest.approx(0.8**2 / 10.0, abs=0.01)


def test_a_turning_point_is_no_standstill(robot):
    times = np.arange(0.0, 1.0, TICK)
    assert record_of(robot, np.sin(2.0 * np.pi * times) * 0.5).rest_after(0.0) is None


def test_standstill_before_the_instant_asked_for_does_not_count(robot):
    record = record_of(robot, np.concatenate([np.zeros(50), np.full(50, 0.5)]))
    assert record.rest_after(0.0).at == 0.0
    assert record.rest_after(0.45) is None


def test_a_record_that_ends_too_soon_shows_no_standstill(robot):
    assert record_of(robot, np.concatenate([np.full(50, 0.5), np.zeros(5)])).rest_after(0.0) is None


@pytest.mark.parametrize(("deceleration", "is_broken"), [(9.5, False), (13.0, True)])
def test_acceleration_is_the_slope_of_the_velocity(robot, deceleration, is_broken):
    shares = limit_shares(record_of(robot, braking(2.0, deceleration, until=1.5)), robot)
    assert shares.acceleration == pytest.approx(deceleration / 10.0, rel=0.05)
    assert bool(shares.broken()) is is_broken


def test_a_single_disturbed_state_is_not_taken_for_an_acceleration(robot):
    velocity = np.full(100, 0.5)
    velocity[50] += 0.2
    assert not limit_shares(record_of(robot, velocity), robot).broken()


def test_a_jump_of_the_velocity_breaks_the_acceleration_limit(robot):
    velocity = np.full(100, 0.2)
    velocity[50:] = 1.4
    assert any("acceleration" in sentence for sentence in limit_shares(record_of(robot, velocity), robot).broken())


def test_a_joint_too_fast_and_one_out_of_range_are_reported(robot):
    found = limit_shares(record_of(robot, np.full(150, 2.8)), robot).broken()
    assert len(found) == 2 and "position" in found[0] and "velocity" in found[1]


def test_a_gap_in_the_record_is_no_acceleration(robot):
    velocity = np.concatenate([np.zeros(50), np.full(50, 1.5)])
    record = record_of(robot, velocity)
    shifted = MotionRecord(record.times + np.where(np.arange(100) >= 50, 1.0, 0.0), record.positions, record.velocities)
    assert not limit_shares(shifted, robot).broken()


def test_a_leap_is_a_gap_while_the_arms_move(robot):
    for speed, expected in ((0.5, 0.51), (0.0, 0.0)):
        record = record_of(robot, np.full(20, speed))
        gap = MotionRecord(record.times + np.where(np.arange(20) >= 10, 0.5, 0.0), record.positions, record.velocities)
        assert gap.longest_leap() == pytest.approx(expected)


def test_an_empty_record_breaks_nothing_and_shows_no_rest(robot):
    empty = record_of(robot, np.zeros(0))
    assert not limit_shares(empty, robot).broken() and empty.rest_after(0.0) is None and empty.longest_leap() == 0.0
