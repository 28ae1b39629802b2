import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.path.braking import braking_tail
from clwm_sai_executor.path.limits import LimitError, stoppable_velocity, stopping_distance
from clwm_sai_executor.path.motion import Motion

DT = 0.05
fractions = arrays(np.float64, 14, elements=st.floats(-1.0, 1.0))


@given(place=fractions, speed=fractions)
def test_tail_ends_at_rest_and_never_exceeds_a_limit(limits, place, speed):
    middle, half = (limits.upper + limits.lower) / 2, (limits.upper - limits.lower) / 2
    position, velocity = middle + 0.5 * place * half, speed * limits.velocity
    positions, velocities = braking_tail(position, velocity, limits, DT)
    assert (velocities[-1] == 0.0).all()
    q = np.vstack([position, positions])
    v = np.vstack([velocity, velocities])
    way = np.diff(q, axis=0) / DT
    first = (6 * way - 4 * v[:-1] - 2 * v[1:]) / DT
    last = (-6 * way + 2 * v[:-1] + 4 * v[1:]) / DT
    assert (np.abs(first) <= limits.acceleration * (1 + 1e-6) + 1e-6).all()
    assert (np.abs(last) <= limits.acceleration * (1 + 1e-6) + 1e-6).all()
    assert (np.abs(v) <= limits.velocity).all()


@given(place=fractions, speed=fractions)
def test_arms_that_could_stop_within_their_range_still_can_at_every_knot_of_the_tail(limits, place, speed):
    middle, half = (limits.upper + limits.lower) / 2, (limits.upper - limits.lower) / 2
    position, velocity = middle + place * half, speed * limits.velocity
    reach = stopping_distance(velocity, limits.acceleration, DT)
    position = np.clip(position, limits.lower - np.minimum(reach, 0.0), limits.upper - np.maximum(reach, 0.0))
    positions, velocities = braking_tail(position, velocity, limits, DT)
    reach = positions + stopping_distance(velocities, limits.acceleration, DT)
    assert (reach <= limits.upper + 1e-9).all() and (reach >= limits.lower - 1e-9).all()


def test_the_fastest_joint_brakes_at_its_limit_until_the_last_row(limits, robot):
    velocity = np.zeros(14)
    velocity[0] = 2.3 * limits.acceleration[0] * DT
    _, velocities = braking_tail(robot.home, velocity, limits, DT)
    np.testing.assert_allclose(velocities[:, 0] / (limits.acceleration[0] * DT), [1.3, 0.3, 0.0], atol=1e-12)


def test_arms_at_rest_get_one_more_knot_where_they_are(limits, robot):
    positions, velocities = braking_tail(robot.home, np.zeros(14), limits, DT)
    np.testing.assert_array_equal(positions, robot.home[None])
    assert not velocities.any()


def test_all_joints_keep_their_direction_while_braking(limits, robot):
    velocity = np.linspace(-0.5, 2.0, 14)
    positions, _ = braking_tail(robot.home, velocity, limits, DT)
    for way in positions - robot.home:
        np.testing.assert_allclose(way / velocity, way[0] / velocity[0], rtol=1e-9)


def test_a_joint_near_its_end_stop_brakes_on_its_own(limits, robot):
    position, velocity = robot.home.copy(), np.zeros(14)
    velocity[4] = 4.0  # needs eight rows
    velocity[0] = 0.4  # needs one
    position[0] = limits.upper[0] - 0.02
    positions, velocities = braking_tail(position, velocity, limits, DT)
    assert positions[:, 0].max() <= limits.upper[0]
    assert velocities[0, 0] == 0.0 and velocities[0, 4] > 0.0


def test_a_velocity_outside_the_limits_is_the_callers_fault(limits, robot):
    velocity = np.zeros(14)
    velocity[3] = 3.0
    with pytest.raises(LimitError, match="joint 3 moves at 3.000 rad/s"):
        braking_tail(robot.home, velocity, limits, DT)


@given(place=fractions, speed=fractions)
def test_a_stoppable_velocity_stops_within_the_range_and_is_only_ever_reduced(limits, place, speed):
    middle, half = (limits.upper + limits.lower) / 2, (limits.upper - limits.lower) / 2
    position, velocity = middle + place * half, speed * limits.velocity
    reduced = stoppable_velocity(position, velocity, limits, DT)
    reach = position + stopping_distance(reduced, limits.acceleration, DT)
    assert (reach <= limits.upper + 1e-9).all() and (reach >= limits.lower - 1e-9).all()
    assert (np.abs(reduced) <= np.abs(velocity)).all() and (reduced * velocity >= 0.0).all()


@given(place=fractions, speed=fractions)
def test_arms_found_in_motion_near_a_limit_are_stopped_within_it(robot, limits, place, speed):
    motion = Motion(robot, SchedulerConfig(), row_of=lambda joints, openings: np.zeros(30, np.float32))
    middle, half = (limits.upper + limits.lower) / 2, (limits.upper - limits.lower) / 2
    arms = MeasuredArms(1.0, middle + place * half, speed * limits.velocity, np.array([0.04, 0.04]))
    motion.hold(1.0, arms, arms.widths)
    path = motion.path
    assert (path.positions <= limits.upper + 1e-9).all() and (path.positions >= limits.lower - 1e-9).all()
    span, way = np.diff(path.offsets)[:, None], np.diff(path.positions, axis=0)
    first = (6 * way / span - 4 * path.velocities[:-1] - 2 * path.velocities[1:]) / span
    assert (np.abs(first) <= limits.acceleration * (1 + 1e-6) + 1e-6).all()
