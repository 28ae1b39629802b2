"""The judge of what controllers execute: it sees what is broken, and only that."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_chaos.fuzzer.arms import FuzzedArms
from clwm_chaos.motion_checks import check_motion, cubic_extremes, sampled_range
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.events import SendTrajectory
from clwm_sai_executor.path.limits import MotionLimits

LIMITS = MotionLimits(np.array([-1.0]), np.array([1.0]), np.array([2.0]), np.array([10.0]))
NUMBERS = st.floats(-2.0, 2.0)


def motion(positions, velocities, dt=0.1):
    return np.arange(len(positions)) * dt, np.array(positions)[:, None], np.array(velocities)[:, None]


def rules(positions, velocities, dt=0.1):
    return {rule for rule, _ in check_motion(*motion(positions, velocities, dt), LIMITS)}


def test_gentle_motion_breaks_no_rule():
    assert rules([0.0, 0.02, 0.04], [0.0, 0.3, 0.0]) == set()


@pytest.mark.parametrize(
    ("rule", "positions", "velocities", "dt"),
    [
        ("position", [0.99, 1.01, 0.99], [0.0, 0.0, 0.0], 1.0),
        ("position", [0.99, 0.99], [0.2, 0.0], 1.0),
        ("velocity", [-0.9, 0.9, 0.9], [0.0, 0.0, 0.0], 1.0),
        ("acceleration", [0.0, 0.1], [0.0, 0.0], 0.1),
        ("end velocity", [0.0, 0.02], [0.0, 0.3], 0.1),
    ],
)
def test_broken_rule_is_named(rule, positions, velocities, dt):
    assert rule in rules(positions, velocities, dt)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=4))
def test_extremes_contain_every_sample_of_the_cubic(knots):
    times, positions, velocities = motion(*zip(*knots, strict=True))
    found = cubic_extremes(times, positions, velocities)
    low, high = sampled_range(times, positions, velocities)
    assert found.lowest.min() <= low[0] + 1e-9 and found.highest.max() >= high[0] - 1e-9
    fine = np.linspace(0.0, 0.1, 201)
    for i in range(len(times) - 1):
        way = (positions[i + 1] - positions[i]) / 0.1
        a0 = (6 * way - 4 * velocities[i] - 2 * velocities[i + 1]) / 0.1
        jerk = ((-6 * way + 2 * velocities[i] + 4 * velocities[i + 1]) / 0.1 - a0) / 0.1
        speed = np.abs(velocities[i] + fine * a0 + fine**2 * jerk / 2).max()
        assert speed <= found.speed[i, 0] + 1e-9
        assert found.speed[i, 0] <= speed + 1e-2 * (1 + abs(a0[0]))
        assert np.abs(a0 + fine * jerk).max() == pytest.approx(found.acceleration[i, 0])


@pytest.fixture
def arms():
    broken = []
    arms = FuzzedArms(RobotDescription.load("dual_fr3_mujoco"), lambda rule, detail: broken.append(rule))
    arms.broken = broken
    return arms


def hold(arms, offset=0.0, stamp=9.95):
    positions = np.repeat(arms.sample(10.0)[0, None, :7], 2, axis=0) + offset
    return SendTrajectory("left", stamp, positions, np.zeros_like(positions), np.array([0.0, 0.1]))


def test_message_that_goes_on_from_the_command_is_no_jump(arms):
    arms.send(hold(arms), 10.0, 0.01, may_jump=False)
    arms.deliver(10.02)
    assert arms.broken == []


def test_message_that_starts_elsewhere_is_a_position_jump_unless_it_may(arms):
    arms.send(hold(arms, 1e-4), 10.0, 0.01, may_jump=True)
    arms.deliver(10.02)
    assert arms.broken == []
    arms.send(hold(arms, 1e-4), 10.02, 0.01, may_jump=False)
    arms.deliver(10.04)
    assert arms.broken == ["position jump"]


def test_message_that_begins_in_the_future_or_is_over_is_told_of(arms):
    arms.send(hold(arms, stamp=10.5), 10.0, 0.0, may_jump=False)
    arms.deliver(10.0)
    assert arms.broken == ["start"]
    arms.send(hold(arms, stamp=9.0), 10.0, 0.0, may_jump=False)
    arms.deliver(10.0)
    assert arms.broken[-1] == "controller"
