"""One test per rule of the joint_trajectory_controller's topic interface."""

import math
from dataclasses import replace

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import (
    ControllerParameters,
    JointTrajectoryController,
    TrajectoryRefused,
)
from clwm_common.control.trajectory import JointState, JointTrajectory, TrajectoryPoint

NAMES = ("shoulder", "elbow")
PERIOD = 0.01
HOME = np.array([0.0, 1.0])


class TwoClocks(JointTrajectoryController):
    """A controller whose stack's clock is set by `set_by` s, while its steady one shows the instants of the updates."""

    set_by = 0.0
    before = None

    def update(self, steady, period, measured):
        late = 0.0 if self.before is None else steady - self.before - period
        self.before = steady
        return super().update(steady + self.set_by, period, measured, late)


@pytest.fixture
def controller() -> JointTrajectoryController:
    return TwoClocks(NAMES, HOME)


def trajectory(times, positions, velocities=None, accelerations=None, stamp=0.0) -> JointTrajectory:
    return JointTrajectory.from_arrays(NAMES, times, positions, velocities, accelerations, stamp)


def at_rest(positions=HOME) -> JointState:
    return JointState(np.asarray(positions, dtype=float), np.zeros(2))


def command_for(controller, time, measured=None) -> np.ndarray:
    """The position command that takes effect at `time`: that of the update one period before."""
    return controller.update(time - PERIOD, PERIOD, measured or at_rest()).positions


def test_position_at_start_is_held_whatever_is_measured(controller):
    for now in (0.0, 1.0, 50.0):
        np.testing.assert_array_equal(controller.update(now, PERIOD, at_rest([3.0, 3.0])).positions, HOME)


def test_command_is_the_trajectory_one_period_after_the_update(controller):
    controller.receive(trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], stamp=10.0), now=10.0)
    assert controller.update(10.0, PERIOD, at_rest()).positions[0] == pytest.approx(PERIOD)


def test_stamp_zero_starts_at_the_next_update_not_at_reception(controller):
    controller.receive(trajectory([1.0], [[1.0, 1.0]]), now=5.0)
    controller.update(7.0, PERIOD, at_rest())
    assert command_for(controller, 7.5)[0] == pytest.approx(0.5)


def test_new_message_replaces_the_old_one_entirely(controller):
    controller.receive(trajectory([1.0, 2.0], [[1.0, 1.0], [2.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    controller.receive(trajectory([0.5], [[-1.0, 1.0]], stamp=10.5), now=10.5)
    controller.update(10.5, PERIOD, at_rest([0.5, 1.0]))
    assert command_for(controller, 12.0)[0] == pytest.approx(-1.0)


def test_last_of_two_messages_between_updates_wins(controller):
    controller.receive(trajectory([1.0], [[9.0, 9.0]], stamp=10.0), now=10.0)
    controller.receive(trajectory([1.0], [[2.0, 2.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    np.testing.assert_allclose(command_for(controller, 11.0), [2.0, 2.0])


def test_stamp_in_the_past_joins_mid_segment_without_a_blend(controller):
    controller.receive(trajectory([0.0, 1.0, 2.0], [[0.0, 1.0], [1.0, 1.0], [5.0, 1.0]], stamp=10.0), now=11.5)
    assert controller.update(11.5, PERIOD, at_rest()).positions[0] == pytest.approx(3.0 + 4.0 * PERIOD)


def test_trajectory_whose_end_is_past_is_refused_and_the_old_one_goes_on(controller):
    controller.receive(trajectory([4.0], [[4.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    with pytest.raises(TrajectoryRefused, match=r"ended at 10.500 s, 0.500 s ago"):
        controller.receive(trajectory([0.5], [[9.0, 9.0]], stamp=10.0), now=11.0)
    assert command_for(controller, 12.0)[0] == pytest.approx(2.0)


def test_trajectory_that_ends_exactly_now_is_taken_and_its_end_held(controller):
    controller.receive(trajectory([0.5], [[9.0, 9.0]], stamp=10.5), now=11.0)
    np.testing.assert_array_equal(controller.update(11.0, PERIOD, at_rest()).positions, [9.0, 9.0])


def test_stamp_in_the_future_drops_the_old_trajectory_at_once(controller):
    controller.receive(trajectory([1.0], [[1.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    controller.receive(trajectory([0.0, 1.0], [[-2.0, 1.0], [-3.0, 1.0]], stamp=12.0), now=10.5)
    controller.update(10.5, PERIOD, at_rest([0.5, 1.0]))
    assert command_for(controller, 11.25)[0] == pytest.approx(-0.75), "half way from the measured 0.5 to -2 at 12 s"
    assert command_for(controller, 12.5)[0] == pytest.approx(-2.5)


def test_lead_in_starts_from_the_measured_state_by_default(controller):
    controller.receive(trajectory([1.0], [[1.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest([0.2, 1.0]))
    assert command_for(controller, 10.5)[0] == pytest.approx(0.6)


def test_lead_in_starts_from_the_last_command_when_asked(controller):
    controller = TwoClocks(NAMES, HOME, ControllerParameters(interpolate_from_desired_state=True))
    controller.receive(trajectory([1.0], [[1.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest([0.2, 1.0]))
    assert command_for(controller, 10.5)[0] == pytest.approx(0.5)


def test_lead_in_keeps_the_measured_velocity_when_points_have_velocities(controller):
    moving = JointState(HOME, np.array([0.4, 0.0]))
    controller.receive(trajectory([1.0], [[1.0, 1.0]], [[0.0, 0.0]], stamp=10.0), now=10.0)
    first = controller.update(10.0, 1e-6, moving)
    assert first.velocities[0] == pytest.approx(0.4, abs=1e-4)


def test_point_at_time_zero_is_jumped_to_without_a_lead_in(controller):
    controller.receive(trajectory([0.0, 1.0], [[3.0, 1.0], [4.0, 1.0]]), now=10.0)
    assert controller.update(10.0, PERIOD, at_rest()).positions[0] == pytest.approx(3.0 + PERIOD)


def test_last_point_is_held_for_ever(controller):
    controller.receive(trajectory([1.0], [[1.0, 2.0]], [[0.0, 0.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    for time in (11.0, 12.0, 1e6):
        state = controller.update(time, PERIOD, at_rest([7.0, 7.0]))
        np.testing.assert_array_equal(state.positions, [1.0, 2.0])
        np.testing.assert_array_equal(state.velocities, [0.0, 0.0])


@pytest.mark.parametrize("set_by", [-0.3, 0.3])
def test_motion_goes_on_smoothly_when_the_clock_is_set(controller, set_by):
    controller.receive(trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    assert command_for(controller, 10.5)[0] == pytest.approx(0.5)
    controller.set_by = set_by
    assert command_for(controller, 10.5 + PERIOD)[0] == pytest.approx(0.5 + PERIOD)
    assert command_for(controller, 11.0)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("set_by", [-0.3, 0.3])
def test_next_message_is_entered_where_the_clock_says(controller, set_by):
    message = trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], stamp=10.0)
    controller.receive(message, now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    controller.set_by = set_by
    assert command_for(controller, 10.5)[0] == pytest.approx(0.5)
    controller.receive(message, now=10.5 + set_by)
    assert command_for(controller, 10.5 + PERIOD)[0] == pytest.approx(0.5 + PERIOD + set_by)


@pytest.mark.parametrize("late", [0.047, 0.3])
def test_loop_that_comes_late_steps_the_command_by_the_motion_it_missed(controller, late):
    controller.receive(trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    before = command_for(controller, 10.3)[0]
    assert command_for(controller, 10.3 + PERIOD + late)[0] - before == pytest.approx(PERIOD + late)


def test_command_stays_while_the_clock_is_before_the_last_command_that_a_trajectory_leads_in_from():
    controller = TwoClocks(NAMES, HOME, ControllerParameters(interpolate_from_desired_state=True))
    controller.update(10.0, PERIOD, at_rest())
    controller.set_by = -0.3
    controller.receive(trajectory([2.0], [[1.0, 1.0]], stamp=10.0), now=9.71)
    assert command_for(controller, 10.01 + PERIOD)[0] == 0.0
    assert command_for(controller, 10.29)[0] == 0.0
    assert command_for(controller, 11.3)[0] == pytest.approx(0.5)


def test_first_lead_in_after_holding_starts_at_the_last_command():
    """Not at the first update of the trajectory, a period later, which would lag behind all along."""
    controller = TwoClocks(NAMES, HOME, ControllerParameters(interpolate_from_desired_state=True))
    controller.update(9.9, PERIOD, at_rest())
    controller.receive(trajectory([0.1], [[1.0, 1.0]], stamp=10.0), now=9.95)
    assert controller.update(10.0, PERIOD, at_rest()).positions[0] == pytest.approx((0.1 + PERIOD) / 0.2)


def test_positions_alone_are_followed_linearly(controller):
    controller.receive(trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], stamp=10.0), now=10.0)
    state = controller.update(10.25, PERIOD, at_rest())
    assert state.positions[0] == pytest.approx(0.26)
    assert state.velocities[0] == pytest.approx(1.0)


def test_velocities_make_the_segments_cubic(controller):
    # p = 3t^2 - 2t^3 is the cubic from 0 to 1 at rest at both ends
    controller.receive(trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], np.zeros((2, 2)), stamp=10.0), now=10.0)
    t = 0.25 + PERIOD
    state = controller.update(10.25, PERIOD, at_rest())
    assert state.positions[0] == pytest.approx(3 * t**2 - 2 * t**3)
    assert state.accelerations[0] == pytest.approx(6 - 12 * t)


def test_accelerations_make_the_segments_quintic(controller):
    # p = 10t^3 - 15t^4 + 6t^5 is the minimum-jerk motion from 0 to 1
    zeros = np.zeros((2, 2))
    controller.receive(trajectory([0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]], zeros, zeros, stamp=10.0), now=10.0)
    t = 0.25 + PERIOD
    state = controller.update(10.25, PERIOD, at_rest())
    assert state.positions[0] == pytest.approx(10 * t**3 - 15 * t**4 + 6 * t**5)


def test_segment_has_the_lower_degree_of_its_ends(controller):
    points = (TrajectoryPoint(0.0, (0.0, 1.0)), TrajectoryPoint(1.0, (1.0, 1.0), (0.0, 0.0)))
    controller.receive(JointTrajectory(NAMES, points, 10.0), now=10.0)
    assert controller.update(10.25, PERIOD, at_rest()).velocities[0] == pytest.approx(1.0), "linear"


def test_joints_in_another_order_are_mapped(controller):
    message = replace(trajectory([1.0], [[7.0, -7.0]], stamp=10.0), joint_names=NAMES[::-1])
    controller.receive(message, now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    np.testing.assert_array_equal(command_for(controller, 11.0), [-7.0, 7.0])


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("shoulder",), "joint 'elbow' is missing"),
        (("shoulder", "wrist"), "joint 'wrist' is not the controller's"),
        (("shoulder", "shoulder"), "named twice"),
        ((), "joint_names is empty"),
    ],
)
def test_wrong_joint_names_are_refused(controller, names, reason):
    message = JointTrajectory(names, (TrajectoryPoint(1.0, (0.0,) * len(names)),))
    with pytest.raises(TrajectoryRefused, match=reason):
        controller.receive(message, now=0.0)


def test_partial_goal_is_taken_when_allowed_and_the_other_joint_keeps_its_command():
    controller = TwoClocks(NAMES, HOME, ControllerParameters(allow_partial_joints_goal=True))
    controller.receive(JointTrajectory(("shoulder",), (TrajectoryPoint(1.0, (0.5,)),), 10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest([0.0, 1.3]))
    np.testing.assert_array_equal(command_for(controller, 11.0), [0.5, 1.0])


def test_trajectory_without_points_is_refused(controller):
    with pytest.raises(TrajectoryRefused, match="no points"):
        controller.receive(JointTrajectory(NAMES, ()), now=0.0)


@pytest.mark.parametrize("times", [[0.5, 0.5], [1.0, 0.5], [0.0, -1.0]])
def test_times_that_do_not_increase_strictly_are_refused(controller, times):
    with pytest.raises(TrajectoryRefused, match="increase strictly"):
        controller.receive(trajectory(times, np.zeros((2, 2))), now=0.0)


@pytest.mark.parametrize("velocity", [1e-3, -1e-3])
def test_velocity_at_the_last_point_is_refused(controller, velocity):
    with pytest.raises(TrajectoryRefused, match="'elbow' at the last point"):
        controller.receive(trajectory([1.0], np.zeros((1, 2)), [[0.0, velocity]]), now=0.0)


def test_velocity_at_the_last_point_within_float_rounding_is_taken(controller):
    controller.receive(trajectory([1.0], np.zeros((1, 2)), [[0.0, 1e-7]]), now=0.0)


def test_velocity_at_the_last_point_is_taken_when_allowed():
    parameters = ControllerParameters(allow_nonzero_velocity_at_trajectory_end=True)
    controller = TwoClocks(NAMES, HOME, parameters)
    controller.receive(trajectory([1.0], np.zeros((1, 2)), [[0.0, 1.0]]), now=0.0)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (TrajectoryPoint(1.0, (0.0,)), "1 positions for 2 joint names"),
        (TrajectoryPoint(1.0, ()), "0 positions for 2 joint names"),
        (TrajectoryPoint(1.0, (0.0, 0.0), (0.0,)), "1 velocities for 2 joint names"),
        (TrajectoryPoint(1.0, (0.0, 0.0), (0.0, 0.0), (0.0,)), "1 accelerations for 2 joint names"),
        (TrajectoryPoint(1.0, (0.0, 0.0), (), (0.0, 0.0)), "accelerations but no velocities"),
        (TrajectoryPoint(1.0, (0.0, 0.0), effort=(1.0, 1.0)), "has effort"),
        (TrajectoryPoint(1.0, (0.0, math.nan)), "positions of point 0"),
        (TrajectoryPoint(math.nan, (0.0, 0.0)), "time_from_start of point 0"),
    ],
)
def test_malformed_point_is_refused_with_its_defect(controller, point, reason):
    with pytest.raises(TrajectoryRefused, match=reason):
        controller.receive(JointTrajectory(NAMES, (point,)), now=0.0)


def test_refused_message_does_not_displace_one_still_waiting(controller):
    controller.receive(trajectory([1.0], [[2.0, 2.0]], stamp=10.0), now=10.0)
    with pytest.raises(TrajectoryRefused):
        controller.receive(JointTrajectory(NAMES, ()), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    np.testing.assert_allclose(command_for(controller, 11.0), [2.0, 2.0])


def test_reset_drops_active_and_waiting_trajectories(controller):
    controller.receive(trajectory([1.0], [[2.0, 2.0]], stamp=10.0), now=10.0)
    controller.update(10.0, PERIOD, at_rest())
    controller.receive(trajectory([1.0], [[3.0, 3.0]], stamp=10.0), now=10.0)
    controller.reset(np.array([0.1, 0.2]))
    np.testing.assert_array_equal(command_for(controller, 11.0), [0.1, 0.2])
