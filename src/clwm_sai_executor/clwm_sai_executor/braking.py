"""The end of every message: knots that bring the arms to rest, whatever becomes of the executor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.limits import LimitError, MotionLimits, stopping_steps

Array = NDArray[np.float64]


def braking_tail(position: Array, velocity: Array, limits: MotionLimits, dt: float) -> tuple[Array, Array]:
    """Bring moving joints to rest at constant deceleration, all ending together.

    position, velocity: (joints,) rad and rad/s at the last row. Returns knots (n, joints), n >= 1, of positions and
    velocities every `dt` seconds after that row; the last has zero velocity. All joints take as long as the one that
    needs longest, so that the arms keep their direction (two hands holding one thing stay together); a joint whose
    way would then leave its position limits stops as fast as its own acceleration limit allows.
    Raises LimitError when `velocity` is outside `limits.velocity`: the caller must not have let it.
    """
    excess = np.abs(velocity) - limits.velocity
    if not np.all(excess <= 1e-6):
        worst = int(np.argmax(excess))
        raise LimitError(
            f"joint {worst} moves at {velocity[worst]:.3f} rad/s; expected at most {limits.velocity[worst]:.3f} rad/s"
        )
    own = np.maximum(stopping_steps(velocity, limits.acceleration, dt), 1.0)
    together = own.max()
    end = position + velocity * together * dt / 2.0
    leaves = (end > limits.upper) | (end < limits.lower)
    steps = np.where(leaves, own, together)
    elapsed = np.minimum(np.arange(1.0, together + 1.0)[:, None], steps)
    left = 1.0 - elapsed / steps
    velocities = velocity * left
    positions = position + (velocity + velocities) * elapsed * dt / 2.0
    return positions, velocities
