"""What an arm is told keeps the robot's continuity limits at a kilohertz, whatever is desired of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.control.trajectory import JointState
from clwm_common.robot.description import RobotDescription
from clwm_franka.command_filter import CommandFilter

ROBOT = RobotDescription.load("dual_fr3_mujoco")
LIMITS, HOME = ROBOT.limits, np.array(ROBOT.left.home)
LOWER, UPPER = np.array(LIMITS.position_lower), np.array(LIMITS.position_upper)


def commanded(desired, start=HOME):
    """Positions (n, 7) of every millisecond, the rest before the first one included."""
    filtered = CommandFilter(LIMITS, start)
    return np.array([start] * 3 + [filtered.step(state) for state in desired])


def shares_of_limits(positions):
    """The largest velocity, acceleration and jerk, by differences as the robot takes them, each over its limit."""
    velocity = np.diff(positions, axis=0) / 0.001
    acceleration = np.diff(velocity, axis=0) / 0.001
    jerk = np.diff(acceleration, axis=0) / 0.001
    return [
        float((np.abs(values).max(axis=0) / limit).max())
        for values, limit in ((velocity, LIMITS.velocity), (acceleration, LIMITS.acceleration), (jerk, LIMITS.jerk))
    ]


numbers = st.floats(-1.0, 1.0)
sevens = st.lists(numbers, min_size=7, max_size=7).map(np.array)


@st.composite
def wishes(draw):
    """Anything at all, in stretches: positions beyond the range, speeds and accelerations beyond the limits."""
    middle, reach = 0.5 * (LOWER + UPPER), 0.6 * (UPPER - LOWER)
    state = JointState(middle + reach * draw(sevens), 6.0 * draw(sevens), 20.0 * draw(sevens))
    return [state] * draw(st.integers(1, 250))


@settings(deadline=None, max_examples=25)
@given(st.lists(wishes(), min_size=1, max_size=4))
def test_no_wish_makes_it_break_a_limit_or_leave_the_range(stretches):
    positions = commanded([state for stretch in stretches for state in stretch])
    assert max(shares_of_limits(positions)) <= 1.0
    assert (positions >= LOWER - 1e-3).all() and (positions <= UPPER + 1e-3).all()


@pytest.mark.parametrize("size", [0.001, 0.02, 0.3, 1.0])
def test_a_step_is_answered_without_overshoot(size):
    target = np.clip(HOME + size * np.array([1, -1, 1, 1, -1, 1, 1]), LOWER, UPPER)
    way = (commanded([JointState(target, np.zeros(7))] * 2500) - HOME) / (target - HOME)
    assert way.max() < 1.001 and way[-1] == pytest.approx(1.0, abs=1e-3)


def test_a_motion_within_the_limits_is_followed_to_a_milliradian():
    times = np.arange(0.0, 3.0, 0.001)
    wanted = HOME + 0.2 * np.outer(1.0 - np.cos(2.0 * times), np.ones(7))
    rates = np.gradient(wanted, 0.001, axis=0)
    bends = np.gradient(rates, 0.001, axis=0)
    positions = commanded([JointState(*each) for each in zip(wanted, rates, bends, strict=True)])
    assert np.abs(positions[3:] - wanted).max() < 1e-3


def test_it_rests_where_it_is_told_to_start_again():
    filtered = CommandFilter(LIMITS, HOME)
    for _ in range(100):
        filtered.step(JointState(HOME + 0.3, np.zeros(7)))
    assert not filtered.is_at_rest
    filtered.reset(HOME)
    assert filtered.is_at_rest
    np.testing.assert_array_equal(filtered.step(JointState(HOME, np.zeros(7))), HOME)
