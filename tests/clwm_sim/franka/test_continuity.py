"""What a robot's own checks make of positions, and that what the driver's filter sends passes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.control.trajectory import JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_franka.arm_control import ArmControl
from clwm_sim.franka.continuity import ContinuityCheck

ROBOT = RobotDescription.load("dual_fr3_libfranka")
HOME = np.array(ROBOT.left.home)


def first_error(offsets):
    """The first error that a row of positions of the second joint gets, from home by these offsets [rad]."""
    check = ContinuityCheck(ROBOT.limits)
    for offset in offsets:
        if error := check.judge(HOME + offset * np.eye(7)[1]):
            return error.removeprefix("joint_motion_generator_")
    return ""


@pytest.mark.parametrize(
    ("offsets", "error"),
    [
        ([0.0] * 5, ""),
        ([0.0, 0.003], "velocity_limits_violation"),
        ([0.0, 0.0, 2e-5], "velocity_discontinuity"),
        ([0.0, 0.0, 0.0, 8e-6], "acceleration_discontinuity"),
        ([0.0, 3.0], "position_limits_violation"),
        ([np.cumsum(np.cumsum(np.minimum(np.arange(9), 4) * 1e-6))[n] for n in range(9)], ""),
    ],
)
def test_each_derivative_has_its_error(offsets, error):
    assert first_error(offsets) == error


def test_what_comes_after_a_gap_is_a_new_beginning():
    check = ContinuityCheck(ROBOT.limits)
    assert check.judge(HOME) == check.judge(HOME) == ""
    check.restart()
    assert check.judge(HOME + 0.1) == ""


offsets = st.lists(st.floats(-0.4, 0.4), min_size=7, max_size=7).map(np.array)
ways = st.tuples(offsets, st.floats(0.02, 1.0), st.floats(-0.5, 0.3), st.integers(1, 400))


@settings(deadline=None, max_examples=15)
@given(st.lists(ways, min_size=1, max_size=5))
def test_what_the_driver_makes_of_any_trajectories_passes_them(trajectories):
    """Also of those that come late, ask for too much, or replace one another in the middle."""
    control, check = ArmControl(ROBOT.left.joint_names, ROBOT.limits, HOME), ContinuityCheck(ROBOT.limits)
    now, command = 100.0, HOME
    for offset, seconds, ahead, cycles in trajectories:
        stamp = max(now + ahead, now - 0.9 * seconds)
        way = JointTrajectory.from_arrays(
            ROBOT.left.joint_names, [seconds], [HOME + offset], np.zeros((1, 7)), stamp=stamp
        )
        control.receive(way, now)
        for _ in range(cycles):
            now += 0.001
            command = control.cycle(now, 1, command)
            assert check.judge(command) == ""
