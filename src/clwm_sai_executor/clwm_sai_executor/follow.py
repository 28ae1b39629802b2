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

from clwm_sai_executor.limits import MotionLimits, stopping_distance, stopping_steps

Array = NDArray[np.float64]

# Of the acceleration limit, how much may go into catching up; the rest is for following the rows' own bends.
_CATCH_UP = 0.6
# Inside a segment positions are looked at here; between these points a joint strays less than 0.4 mrad at 10 rad/s^2.
_INSIDE = np.array([0.25, 0.5, 0.75])


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
    wanted = np.clip(rows, limits.lower, limits.upper)
    velocities = _spline_slopes(position, wanted) / dt
    positions = wanted.copy()
    before_q = np.concatenate([position[None], wanted[:-1]])
    before_v = np.concatenate([velocity[None], velocities[:-1]])
    feasible = _is_within(before_q, before_v, wanted, velocities, limits, dt).all(axis=0)
    if not feasible.all():
        slow = np.flatnonzero(~feasible)
        positions[:, slow], velocities[:, slow] = _track(
            position[slow], velocity[slow], wanted[:, slow], limits.columns(slow), dt
        )
    deviation = np.abs(positions - rows)
    return positions, velocities, int(np.count_nonzero(deviation > 1e-6)), float(deviation.max())


def _spline_slopes(start: Array, rows: Array) -> Array:
    """Catmull-Rom slopes per row (n, joints); the last one makes the acceleration vanish at the end."""
    path = np.concatenate([start[None], rows])
    slopes = np.empty_like(rows)
    slopes[:-1] = (path[2:] - path[:-2]) / 2.0
    last = path[-1] - path[-2]
    slopes[-1] = 1.5 * last - 0.5 * slopes[-2] if len(rows) > 1 else last
    return slopes


def _is_within(q0: Array, v0: Array, q1: Array, v1: Array, limits: MotionLimits, dt: float) -> NDArray[np.bool_]:
    """Whether cubic segments (..., joints) keep all limits and end in a state that can still brake."""
    way = (q1 - q0) / dt
    a0 = (6.0 * way - 4.0 * v0 - 2.0 * v1) / dt
    a1 = (-6.0 * way + 2.0 * v0 + 4.0 * v1) / dt
    bound = limits.acceleration * (1.0 + 1e-9)
    within = (np.abs(a0) <= bound) & (np.abs(a1) <= bound)
    # The velocity has its vertex inside the segment when the acceleration changes sign.
    swing = a1 - a0
    vertex = np.where(a0 * a1 < 0.0, v0 - a0 * a0 * dt / (2.0 * np.where(swing == 0.0, 1.0, swing)), v1)
    within &= (np.abs(v1) <= limits.velocity) & (np.abs(vertex) <= limits.velocity)
    end = q1 + stopping_distance(v1, limits.acceleration, dt)
    low, high = np.minimum(q1, end), np.maximum(q1, end)
    part = _INSIDE.reshape(-1, *([1] * np.ndim(q0)))
    time = part * dt
    inside = q0 + time * (v0 + time * (a0 / 2.0 + part * swing / 6.0))
    low, high = np.minimum(low, inside.min(axis=0)), np.maximum(high, inside.max(axis=0))
    return within & (low >= limits.lower - 1e-12) & (high <= limits.upper + 1e-12)


def _track(position: Array, velocity: Array, rows: Array, limits: MotionLimits, dt: float) -> tuple[Array, Array]:
    """Follow rows (n, joints) step by step: exactly where the limits allow it, else closing in without overshoot."""
    slopes = np.gradient(rows, axis=0) / dt if len(rows) > 1 else np.zeros_like(rows)
    positions, velocities = np.empty_like(rows), np.empty_like(rows)
    q, v = position, velocity
    row_before, slope_before = rows[0] - slopes[0] * dt, slopes[0]
    for index, (row, slope) in enumerate(zip(rows, slopes, strict=True)):
        exact = _is_within(q, v, row, slope, limits, dt)
        nearer = _closing_velocity(q - row_before, v - slope_before, slope, q, v, limits, dt)
        next_v = np.where(exact, slope, nearer)
        q, v = np.where(exact, row, q + (v + nearer) * dt / 2.0), next_v
        positions[index], velocities[index] = q, v
        row_before, slope_before = row, slope
    return positions, velocities


def _closing_velocity(
    error: Array, drift: Array, slope: Array, q: Array, v: Array, limits: MotionLimits, dt: float
) -> Array:
    """Velocity (joints,) at the next knot, reached at constant acceleration, that closes in on the rows.

    error, drift: position and velocity relative to the row before. The relative speed aimed for is the highest from
    which a stop at the row is still possible; the same rule, in absolute terms, keeps off the position limits.
    """
    remaining = error + drift * dt / 2.0
    aim = slope - np.sign(remaining) * _approach(np.abs(remaining), _CATCH_UP * limits.acceleration, dt)
    middle = q + v * dt / 2.0
    aim = np.minimum(aim, _approach(limits.upper - middle, limits.acceleration, dt))
    aim = np.maximum(aim, -_approach(middle - limits.lower, limits.acceleration, dt))
    aim = np.clip(aim, -limits.velocity, limits.velocity)
    change = limits.acceleration * dt
    aim = np.clip(aim, v - change, v + change)
    end = q + (v + aim) * dt / 2.0
    stop = end + stopping_distance(aim, limits.acceleration, dt)
    can_stop = (np.maximum(end, stop) <= limits.upper) & (np.minimum(end, stop) >= limits.lower)
    steps = np.maximum(stopping_steps(v, limits.acceleration, dt), 1.0)
    return np.where(can_stop, aim, v * (1.0 - 1.0 / steps))


def _approach(distance: Array, acceleration: Array, dt: float) -> Array:
    """Highest speed at the next knot from which a stop on the grid still ends within `distance`; 0 without room."""
    room = np.maximum(distance, 0.0)
    return acceleration * (np.sqrt(dt * dt + 2.0 * room / acceleration) - dt)
