"""The end of every message: knots that bring the arms to rest, whatever becomes of the executor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.path.limits import LimitError, MotionLimits, stopping_distance

Array = NDArray[np.float64]


def braking_tail(position: Array, velocity: Array, limits: MotionLimits, dt: float) -> tuple[Array, Array]:
    """Bring moving joints to rest as fast as the one that needs longest can stop, all ending together.

    position, velocity: (joints,) rad and rad/s at the last row. Returns knots (n, joints), n >= 1, of positions and
    velocities every `dt` seconds after that row; the last has zero velocity. All velocities shrink by the same factor,
    so that the arms keep their direction (two hands holding one thing stay together). A joint that could then, from
    some knot, not stop within its position limits any more stops as fast as its own acceleration limit allows.
    Raises LimitError when `velocity` is outside `limits.velocity`: the caller must not have let it.
    """
    excess = np.abs(velocity) - limits.velocity
    if not np.all(excess <= 1e-6):
        worst = int(np.argmax(excess))
        raise LimitError(
            f"joint {worst} moves at {velocity[worst]:.3f} rad/s; expected at most {limits.velocity[worst]:.3f} rad/s"
        )
    steps = np.maximum(np.abs(velocity) / (limits.acceleration * dt), 1.0)
    longest = steps.max()
    count = int(np.ceil(longest - 1e-9))
    positions, velocities = _slow_down(position, velocity, np.full_like(steps, longest), count, dt)
    reach = positions + stopping_distance(velocities, limits.acceleration, dt)
    leaves = np.flatnonzero(((reach > limits.upper) | (reach < limits.lower)).any(axis=0))
    if leaves.size:
        positions[:, leaves], velocities[:, leaves] = _slow_down(
            position[leaves], velocity[leaves], steps[leaves], count, dt
        )
    return positions, velocities


def _slow_down(position: Array, velocity: Array, steps: Array, count: int, dt: float) -> tuple[Array, Array]:
    """`count` knots of joints that decelerate constantly to rest in `steps` rows each, a whole number or not.

    In the row in which a joint comes to rest it decelerates less, so that rest is at a knot.
    """
    left = np.maximum(1.0 - np.arange(count + 1)[:, None] / steps, 0.0)
    left[-1] = 0.0
    velocities = velocity * left
    positions = position + np.cumsum((velocities[1:] + velocities[:-1]) * (dt / 2.0), axis=0)
    return positions, velocities[1:]
