"""An arm's joint_trajectory_controller, for the only kind of message that the executor sends."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_sai_executor.events import SendTrajectory

Array = NDArray[np.float64]

_END_VELOCITY_TOLERANCE = float(np.finfo(np.float32).eps)


class KnotController:
    """Commands what the simulated `JointTrajectoryController` does, at a fraction of the cost.

    A test holds the two against each other. It takes whole arrays: knots with velocities and a stamp, of which the
    first lies in the past (the lead-in to a first knot in the future is not here).
    """

    def __init__(self, position: Array) -> None:
        self.reset(position)

    def reset(self, position: Array) -> None:
        """Drop every trajectory and hold `position` (joints,) rad."""
        self._command = np.stack([position, np.zeros_like(position)])
        self._times: list[float] = []

    def receive(self, message: SendTrajectory, now: float) -> None:
        """Follow a message from `now` on. Raises TrajectoryRefused with the reason; nothing changes then."""
        times, positions, velocities = message.times_from_start, message.positions, message.velocities
        if not np.isfinite(times.sum() + positions.sum() + velocities.sum()) or not np.isfinite(message.stamp):
            raise TrajectoryRefused("the trajectory has numbers that are not finite")
        if (times[1:] <= times[:-1]).any():
            raise TrajectoryRefused(f"times from start are {times.tolist()}; they must increase strictly")
        if np.abs(velocities[-1]).max() > _END_VELOCITY_TOLERANCE:
            raise TrajectoryRefused(f"the velocity at the last point is {velocities[-1].tolist()} rad/s; expected zero")
        end = message.stamp + float(times[-1])
        if end < now:
            raise TrajectoryRefused(f"the trajectory ended at {end:.3f} s, {now - end:.3f} s ago")
        if message.stamp + float(times[0]) > now:
            raise TrajectoryRefused(f"the trajectory begins {message.stamp + float(times[0]) - now:.4f} s from now")
        self._stamp, self._times = message.stamp, times.tolist()
        # Start, start velocity, way and end velocity of every segment: joints at rest then stay so to the last bit.
        self._segments = np.stack([positions[:-1], velocities[:-1], np.diff(positions, axis=0), velocities[1:]], axis=1)
        self._last = np.stack([positions[-1], velocities[-1]])

    def set_clock(self, seconds: float) -> None:
        """The stack's clock was set by `seconds`: the motion goes on by a steady one."""
        if self._times:
            self._stamp += seconds

    def sample(self, now: float) -> Array:
        """Positions [rad] and velocities [rad/s] (2, joints) commanded at `now`."""
        times = self._times
        if not times:
            return self._command
        offset = now - self._stamp
        index = bisect_right(times, offset) - 1
        if index >= len(times) - 1:
            self._command = self._last
        else:
            duration = times[index + 1] - times[index]
            self._command = _weights((offset - times[index]) / duration, duration) @ self._segments[index]
        return self._command


def _weights(s: float, duration: float) -> Array:
    """How start, start velocity, way and end velocity make up (2, 4) position and velocity at share `s` of a cubic."""
    left = 1.0 - s
    return np.array(
        [
            [1.0, s * left * left * duration, s * s * (3.0 - 2.0 * s), -s * s * left * duration],
            [0.0, left * (1.0 - 3.0 * s), 6.0 * s * left / duration, s * (3.0 * s - 2.0)],
        ]
    )
