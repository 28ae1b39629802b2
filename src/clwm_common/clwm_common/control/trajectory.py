"""Joint trajectories and their splines, sampled as Jazzy's joint_trajectory_controller samples them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class TrajectoryPoint:
    """One point of a trajectory message as received: a field that was not given is empty.

    time_from_start: s after the stamp; positions rad, velocities rad/s, accelerations rad/s^2, effort N m, each in the
    order of the message's joint names.
    """

    time_from_start: float
    positions: Sequence[float] = ()
    velocities: Sequence[float] = ()
    accelerations: Sequence[float] = ()
    effort: Sequence[float] = ()


@dataclass(frozen=True)
class JointTrajectory:
    """trajectory_msgs/JointTrajectory without ROS; `stamp` in s, 0.0 meaning "start now"."""

    joint_names: tuple[str, ...]
    points: tuple[TrajectoryPoint, ...]
    stamp: float = 0.0

    @classmethod
    def from_arrays(
        cls,
        joint_names: Sequence[str],
        times_from_start: ArrayLike,
        positions: ArrayLike,
        velocities: ArrayLike | None = None,
        accelerations: ArrayLike | None = None,
        stamp: float = 0.0,
    ) -> JointTrajectory:
        """Build from times (n,) and arrays (n, joints); None leaves the field empty at every point."""
        times = np.asarray(times_from_start, dtype=np.float64)
        columns = [
            [()] * len(times) if column is None else np.asarray(column, dtype=np.float64)
            for column in (positions, velocities, accelerations)
        ]
        points = tuple(TrajectoryPoint(float(time), *fields) for time, *fields in zip(times, *columns, strict=True))
        return cls(tuple(joint_names), points, stamp)


@dataclass(frozen=True)
class JointState:
    """Where joints are: positions rad, velocities rad/s or None, accelerations rad/s^2 or None, each (joints,)."""

    positions: Numbers
    velocities: Numbers | None = None
    accelerations: Numbers | None = None


def spline(start: JointState, end: JointState, duration: float) -> Numbers:
    """Coefficients (6, joints), lowest power first, of the polynomial from `start` to `end` in `duration` seconds.

    Quintic where both ends have velocities and accelerations, cubic where both have velocities, else linear.
    A duration of zero stays at `start`.
    """
    c = np.zeros((6, len(start.positions)))
    c[0] = start.positions
    has_velocity = start.velocities is not None and end.velocities is not None
    has_acceleration = start.accelerations is not None and end.accelerations is not None
    if has_velocity:
        c[1] = start.velocities
        if has_acceleration:
            c[2] = start.accelerations / 2.0
    if duration <= 0.0:
        return c
    t = duration
    # What the lower powers leave over at the end of the segment, to be made up by the higher ones.
    gap = end.positions - (c[0] + c[1] * t + c[2] * t**2)
    if not has_velocity:
        c[1] = gap / t
        return c
    velocity_gap = end.velocities - (c[1] + 2.0 * c[2] * t)
    if not has_acceleration:
        c[2] = (3.0 * gap - velocity_gap * t) / t**2
        c[3] = (-2.0 * gap + velocity_gap * t) / t**3
        return c
    acceleration_gap = end.accelerations - start.accelerations
    c[3] = (10.0 * gap - 4.0 * velocity_gap * t + 0.5 * acceleration_gap * t**2) / t**3
    c[4] = (-15.0 * gap + 7.0 * velocity_gap * t - acceleration_gap * t**2) / t**4
    c[5] = (6.0 * gap - 3.0 * velocity_gap * t + 0.5 * acceleration_gap * t**2) / t**5
    return c


def _evaluate(coefficients: Numbers, t: float) -> JointState:
    powers = np.array(
        [
            [1.0, t, t**2, t**3, t**4, t**5],
            [0.0, 1.0, 2.0 * t, 3.0 * t**2, 4.0 * t**3, 5.0 * t**4],
            [0.0, 0.0, 2.0, 6.0 * t, 12.0 * t**2, 20.0 * t**3],
        ]
    )
    return JointState(*(powers @ coefficients))


class ActiveTrajectory:
    """A valid trajectory being followed: knows when it began and from which state.

    times: (n,) s after `stamp`, strictly increasing; positions (n, joints); velocities and accelerations: per point
    (joints,) or None. The first segment leads from the state given to `begin` to point 0.
    """

    def __init__(self, stamp: float, times: Numbers, points: Sequence[JointState]) -> None:
        self.stamp = stamp
        self._times = times
        self._points = list(points)
        self._start: float | None = None
        self._entered_at = 0.0
        self._entry: Numbers | None = None
        self._segments: dict[int, Numbers] = {}

    @property
    def has_begun(self) -> bool:
        return self._start is not None

    @property
    def start(self) -> float:
        """Time of `time_from_start` 0 [s]; only once begun."""
        assert self._start is not None, "sampled before begin()"
        return self._start

    @property
    def end(self) -> float:
        """Time of the last point [s]; only once begun."""
        return self.start + float(self._times[-1])

    def begin(self, now: float, entered_at: float, state: JointState) -> None:
        """Fix the origin of time at the first update `now`, and lead in from `state`, the arm's at `entered_at`."""
        self._start = now if self.stamp == 0.0 else self.stamp
        self._entered_at = entered_at
        first = self._points[0]
        # A state that lacks a derivative which the first point has would lower the lead-in's degree: take it as zero.
        zero = np.zeros_like(first.positions)
        if state.velocities is None and first.velocities is not None:
            state = JointState(state.positions, zero, state.accelerations)
        if state.accelerations is None and first.accelerations is not None:
            state = JointState(state.positions, state.velocities, zero)
        self._entry = spline(state, first, self.start + float(self._times[0]) - entered_at)

    def sample(self, time: float) -> JointState | None:
        """The desired state at `time`; None before the instant at which the trajectory was entered.

        Between entering and point 0: the lead-in. After the last point: that point, held.
        """
        if time < self._entered_at:
            return None
        offset = time - self.start
        index = int(np.searchsorted(self._times, offset, side="right")) - 1
        if index < 0:
            assert self._entry is not None
            return _evaluate(self._entry, time - self._entered_at)
        if index >= len(self._points) - 1:
            last = self._points[-1]
            zero = np.zeros_like(last.positions)
            return JointState(
                last.positions,
                zero if last.velocities is None else last.velocities,
                zero if last.accelerations is None else last.accelerations,
            )
        if index not in self._segments:
            duration = float(self._times[index + 1] - self._times[index])
            self._segments[index] = spline(self._points[index], self._points[index + 1], duration)
        return _evaluate(self._segments[index], offset - float(self._times[index]))
