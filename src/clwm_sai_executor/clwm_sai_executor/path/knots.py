"""Rows of a policy -> knots that a controller's cubic segments execute within the limits.

A segment between two knots (q0, v0), (q1, v1) a time dt apart is a cubic; its acceleration runs linearly from a0 to a1:

    v1 = v0 + (a0 + a1) dt / 2
    q1 = q0 + v0 dt + (2 a0 + a1) dt^2 / 6

so the limits hold along the whole segment when a0 and a1 obey them, and the velocity at its vertex does. Rows that can
be met exactly are met exactly; where they cannot, a joint follows as fast as the limits allow, without overshoot, and
meets the rows again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.path.tracking import track

Array = NDArray[np.float64]

_ROUNDING = 1.0 + 1e-9  # of velocities and accelerations; of positions 1e-12 rad


def follow(
    position: Array, velocity: Array, rows: Array, limits: MotionLimits, dt: float
) -> tuple[Array, Array, int, float]:
    """Continue a motion along rows.

    position, velocity: (joints,) state at the last committed knot. rows: (n, joints), n >= 1, wanted positions every
    `dt` seconds after it. Returns positions (n, joints), velocities (n, joints), how many of these positions are not
    the wanted ones, and the largest difference [rad]. The state must allow braking within `limits` (see
    `stopping_distance`); where it does not, the limits are widened to what braking needs.
    """
    limits = limits.widened_for(position, velocity, dt)
    positions = np.minimum(np.maximum(rows, limits.lower), limits.upper)
    # From here on time is counted in rows.
    velocity = velocity * dt
    slopes = _spline_slopes(position, positions)
    slow = np.flatnonzero(~_can_follow(position, velocity, positions, slopes, limits, dt))
    if slow.size:
        positions[:, slow], slopes[:, slow] = track(
            position[slow], velocity[slow], positions[:, slow], limits.columns(slow), dt
        )
    deviation = np.abs(positions - rows)
    return positions, slopes / dt, int(np.count_nonzero(deviation > 1e-6)), float(deviation.max())


def _spline_slopes(start: Array, rows: Array) -> Array:
    """Catmull-Rom slopes per row (n, joints); the last one makes the acceleration vanish at the end."""
    path = np.concatenate([start[None], rows])
    slopes = np.empty_like(rows)
    slopes[:-1] = (path[2:] - path[:-2]) / 2.0
    last = path[-1] - path[-2]
    slopes[-1] = 1.5 * last - 0.5 * slopes[-2] if len(rows) > 1 else last
    return slopes


def _can_follow(
    position: Array, velocity: Array, rows: Array, slopes: Array, limits: MotionLimits, dt: float
) -> NDArray[np.bool_]:
    """Which joints (joints,) meet all rows (n, joints) within the limits, always in a state that can still brake."""
    q0, v0 = np.concatenate([position[None], rows[:-1]]), np.concatenate([velocity[None], slopes[:-1]])
    fastest, hardest = limits.velocity * (dt * _ROUNDING), limits.acceleration * (dt * dt * _ROUNDING)
    way = 6.0 * (rows - q0)
    a0, a1 = way - 4.0 * v0 - 2.0 * slopes, 4.0 * slopes + 2.0 * v0 - way
    swing = a1 - a0
    # The velocity has its vertex inside the segment when the acceleration changes sign.
    vertex = np.where(a0 * a1 < 0.0, v0 - a0 * a0 / (2.0 * np.where(swing == 0.0, 1.0, swing)), slopes)
    end = rows + slopes * np.ceil(np.abs(slopes) / (limits.acceleration * (dt * dt)) - 1e-9) / 2.0
    speed = np.maximum(np.abs(slopes), np.abs(vertex)).max(axis=0)
    force = np.maximum(np.abs(a0), np.abs(a1)).max(axis=0)
    # A cubic stays between the four points of its control polygon.
    polygon = np.concatenate([rows, end, q0 + v0 / 3.0, rows - slopes / 3.0])
    return (
        (speed <= fastest)
        & (force <= hardest)
        & (polygon.min(axis=0) >= limits.lower - 1e-12)
        & (polygon.max(axis=0) <= limits.upper + 1e-12)
    )
