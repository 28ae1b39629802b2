"""The controller's output is as smooth as the trajectory it was given, for any trajectory."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clwm_common.control.joint_trajectory_controller import JointTrajectoryController
from clwm_common.control.trajectory import JointState, JointTrajectory, spline

NAMES = ("a", "b", "c")
numbers = st.floats(-3.0, 3.0)
triples = arrays(float, 3, elements=numbers)
durations = st.floats(0.02, 2.0)


@st.composite
def trajectories(draw, degree: int) -> JointTrajectory:
    count = draw(st.integers(1, 6))
    times = np.cumsum(draw(arrays(float, count, elements=durations)))
    fields = [draw(arrays(float, (count, 3), elements=numbers)) for _ in range((degree + 1) // 2)]
    for derivative in fields[1:]:
        derivative[-1] = 0.0
    fields += [None] * (3 - len(fields))
    return JointTrajectory.from_arrays(NAMES, times, *fields, stamp=100.0)


class InTime(JointTrajectoryController):
    """Updated at the instants that a steady clock shows, too."""

    before = None

    def update(self, now, period, measured):
        late = 0.0 if self.before is None else now - self.before - period
        self.before = now
        return super().update(now, period, measured, late)


def states(message: JointTrajectory, start: JointState, instants) -> list[JointState]:
    controller = InTime(NAMES, start.positions)
    controller.receive(message, now=100.0)
    controller.update(100.0, 0.0, start)
    return [controller.update(instant, 0.0, start) for instant in instants]


@given(trajectories(degree=3), triples, triples)
@settings(max_examples=60, deadline=None)
def test_cubic_motion_passes_every_point_with_continuous_position_and_velocity(message, position, velocity):
    start = JointState(position, velocity)
    step = 1e-7
    for point in message.points:
        knot = 100.0 + point.time_from_start
        before, at, after = states(message, start, [knot - step, knot, knot + step])
        np.testing.assert_allclose(at.positions, point.positions, atol=1e-4)
        np.testing.assert_allclose(before.positions, after.positions, atol=1e-4)
        np.testing.assert_allclose(before.velocities, point.velocities, atol=0.05)
        np.testing.assert_allclose(after.velocities, point.velocities, atol=0.05)


@given(trajectories(degree=1), triples)
@settings(max_examples=60, deadline=None)
def test_linear_motion_stays_within_the_box_of_its_points(message, position):
    times = 100.0 + np.linspace(0.0, message.points[-1].time_from_start + 1.0, 40)
    corners = np.array([position, *(point.positions for point in message.points)])
    for state in states(message, JointState(position), times):
        assert np.all(state.positions >= corners.min(axis=0) - 1e-9)
        assert np.all(state.positions <= corners.max(axis=0) + 1e-9)


@given(triples, triples, triples, triples, triples, triples, durations)
@settings(max_examples=100, deadline=None)
def test_quintic_segment_meets_both_end_states(p0, v0, a0, p1, v1, a1, duration):
    coefficients = spline(JointState(p0, v0, a0), JointState(p1, v1, a1), duration)
    for time, (position, velocity, acceleration) in ((0.0, (p0, v0, a0)), (duration, (p1, v1, a1))):
        for joint in range(3):
            polynomial = np.polynomial.Polynomial(coefficients[:, joint])
            np.testing.assert_allclose(polynomial(time), position[joint], atol=1e-8)
            np.testing.assert_allclose(polynomial.deriv(1)(time), velocity[joint], atol=1e-6)
            np.testing.assert_allclose(polynomial.deriv(2)(time), acceleration[joint], atol=1e-4)


@given(trajectories(degree=5), st.floats(0.05, 0.95), triples)
@settings(max_examples=40, deadline=None)
def test_resending_the_same_trajectory_with_its_stamp_changes_no_command(message, fraction, position):
    """What a splice relies on: same origin, same committed points, so the seam cannot be seen."""
    start = JointState(position, np.zeros(3))
    first, last = message.points[0].time_from_start, message.points[-1].time_from_start
    again = 100.0 + first + fraction * (last - first)
    once = InTime(NAMES, position)
    twice = InTime(NAMES, position)
    for controller in (once, twice):
        controller.receive(message, now=100.0)
        controller.update(100.0, 0.001, start)
    twice.receive(message, now=again)
    elsewhere = JointState(position + 1.0, np.ones(3))
    for instant in np.linspace(again, 101.0 + last, 7):
        expected = once.update(instant, 0.001, start)
        np.testing.assert_array_equal(twice.update(instant, 0.001, elsewhere).positions, expected.positions)
