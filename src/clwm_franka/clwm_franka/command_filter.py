"""Positions every millisecond that keep a robot's continuity limits, whatever is desired of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.control.trajectory import JointState
from clwm_common.robot.description import JointLimits

Numbers = NDArray[np.float64]

CYCLE = 0.001  # s
BANDWIDTH = 100.0  # rad/s; what the limits allow anyway is followed about a millisecond behind
# Of the limits: a robot judges what it makes of our numbers, rounded to 32 bits on their way.
SHARE = 0.98


class CommandFilter:
    """Follows a desired motion with limited velocity, acceleration and jerk, and rests where it is told to start.

    Positions, velocities and accelerations are fed forward. Three nested loops take out what is left; each asks of the
    one within no more than it can undo in time with its own limit, so that a step is answered without overshoot.
    """

    def __init__(self, limits: JointLimits, position: Numbers, bandwidth: float = BANDWIDTH) -> None:
        """position: (joints,) rad, where the arm rests. bandwidth: rad/s."""
        self._lower, self._upper = np.array(limits.position_lower), np.array(limits.position_upper)
        self._velocity_max = SHARE * np.array(limits.velocity)
        self._acceleration_max = SHARE * np.array(limits.acceleration)
        self._jerk_max = SHARE * np.array(limits.jerk)
        # Critically damped, all three poles at the bandwidth.
        self._gains = bandwidth / 3.0, bandwidth, 3.0 * bandwidth
        self.reset(position)

    def reset(self, position: Numbers) -> None:
        """Rest at `position` (joints,) rad."""
        self.position = np.array(position, dtype=np.float64)
        self.velocity = np.zeros_like(self.position)
        self.acceleration = np.zeros_like(self.position)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing moves any more, so that the motion may be ended."""
        return bool(np.abs(self.velocity).max() < 1e-3 and np.abs(self.acceleration).max() < 0.05)

    def step(self, desired: JointState) -> Numbers:
        """The position (joints,) rad for the next millisecond on the way to what is `desired` then."""
        to_velocity, to_acceleration, to_jerk = self._gains
        zero = np.zeros_like(self.position)
        wanted = zero if desired.velocities is None else desired.velocities
        expected = zero if desired.accelerations is None else desired.accelerations
        error = _within(desired.positions, self._lower, self._upper) - self.position
        least, most = self._velocities_allowed()
        velocity = _within(wanted + _undone(error, to_velocity, 0.5 * self._acceleration_max), least, most)
        bends = [_undone(it - self.velocity, to_acceleration, 0.5 * self._jerk_max) for it in (velocity, least, most)]
        # What is fed forward must not carry the velocity past what is allowed, either.
        acceleration = _within(expected + bends[0], *bends[1:])
        acceleration = _within(acceleration, -self._acceleration_max, self._acceleration_max)
        largest = CYCLE * self._jerk_max
        step = _within(to_jerk * CYCLE * (acceleration - self.acceleration), -largest, largest)
        self.acceleration = self.acceleration + step
        self.velocity = self.velocity + CYCLE * self.acceleration
        self.position = self.position + CYCLE * self.velocity
        return self.position

    def _velocities_allowed(self) -> tuple[Numbers, Numbers]:
        """Within the limits, and slow enough to stop before the end of the joint's range."""
        # Room for what the jerk limit lets the velocity run over.
        cap = self._velocity_max - self._acceleration_max**2 / (2.0 * self._jerk_max)
        up = np.sqrt(self._acceleration_max * np.maximum(self._upper - self.position, 0.0))
        down = np.sqrt(self._acceleration_max * np.maximum(self.position - self._lower, 0.0))
        return -np.minimum(cap, down), np.minimum(cap, up)


def _within(values: Numbers, least: Numbers, most: Numbers) -> Numbers:
    # numpy's clip of seven numbers takes three times as long.
    return np.minimum(np.maximum(values, least), most)


def _undone(error: Numbers, gain: float, deceleration: Numbers) -> Numbers:
    """The rate at which to take out `error`: in proportion while it is small, else so that it can be braked in time."""
    size = np.abs(error)
    linear = deceleration / gain**2  # where both laws have the same slope
    far = np.sqrt(2.0 * deceleration * np.maximum(size - 0.5 * linear, 0.0))
    return np.sign(error) * np.where(size <= linear, gain * size, far)
