"""Limits that every knot sent to the arms obeys, and what braking within them takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription

Array = NDArray[np.float64]


class LimitError(ValueError):
    """A state from which no motion within the limits exists."""


@dataclass(frozen=True)
class MotionLimits:
    """Bounds for both arms, each (14,), left arm first: rad, rad, rad/s, rad/s^2."""

    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array

    @classmethod
    def of(
        cls,
        robot: RobotDescription,
        *,
        velocity_scale: float = 1.0,
        acceleration_scale: float = 1.0,
        margin: float = 0.0,
    ) -> MotionLimits:
        """The robot's limits, velocity and acceleration scaled, positions moved inwards by `margin` rad."""
        return cls(
            robot.limit("position_lower") + margin,
            robot.limit("position_upper") - margin,
            robot.limit("velocity") * velocity_scale,
            robot.limit("acceleration") * acceleration_scale,
        )

    def columns(self, joints: slice | NDArray[np.intp]) -> MotionLimits:
        """The same limits for some of the joints."""
        return MotionLimits(self.lower[joints], self.upper[joints], self.velocity[joints], self.acceleration[joints])

    def widened_for(self, position: Array, velocity: Array, dt: float) -> MotionLimits:
        """Limits that contain this state and its braking distance, so that arms found outside can move back in."""
        reach = position + stopping_distance(velocity, self.acceleration, dt)
        return MotionLimits(
            np.minimum(self.lower, np.minimum(position, reach)),
            np.maximum(self.upper, np.maximum(position, reach)),
            np.maximum(self.velocity, np.abs(velocity)),
            self.acceleration,
        )


def stopping_steps(velocity: Array, acceleration: Array, dt: float) -> Array:
    """How many whole steps of `dt` it takes each joint to stop at a constant deceleration within its limit."""
    return np.ceil(np.abs(velocity) / (acceleration * dt) - 1e-9)


def stopping_distance(velocity: Array, acceleration: Array, dt: float) -> Array:
    """Signed way (…, joints) [rad] that such a stop takes.

    A state whose stop ends inside the position limits keeps this property at every step of the stop: it is the
    invariant that makes braking possible from every knot.
    """
    return velocity * stopping_steps(velocity, acceleration, dt) * dt / 2.0


def stoppable_velocity(position: Array, velocity: Array, limits: MotionLimits, dt: float) -> Array:
    """`velocity` (joints,), reduced where the stop from `position` would end outside the position limits.

    A stop takes at most |v| / (a dt) + 1 steps, so at most v^2 / 2a + |v| dt / 2; solved for |v|.
    """
    room = np.maximum(np.where(velocity > 0.0, limits.upper - position, position - limits.lower), 0.0)
    fastest = limits.acceleration * (np.sqrt(dt**2 / 4.0 + 2.0 * room / limits.acceleration) - dt / 2.0)
    return np.clip(velocity, -fastest, fastest)
