"""Rows that cannot all be met: a joint follows them step by step, as fast as its limits allow, and meets them again.

Time is counted in rows here, so velocities are rad per row and accelerations rad per row squared. What is done step
by step is done in plain numbers, one joint after the other: mostly it is a few joints only, and calls of numpy for so
few numbers would take longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.path.limits import MotionLimits

Array = NDArray[np.float64]

# Of the acceleration limit, how much may go into catching up; the rest is for following the rows' own bends.
_CATCH_UP = 0.6
_ROUNDING = 1e-9  # of velocities and accelerations, relative
_POSITION_ROUNDING = 1e-12  # rad


def track(position: Array, velocity: Array, rows: Array, limits: MotionLimits, dt: float) -> tuple[Array, Array]:
    """Follow rows (n, joints): exactly where the limits allow it, else closing in without overshoot.

    position (joints,) rad, velocity (joints,) rad per row: the state before. Returns positions and velocities
    (n, joints), in the same units.
    """
    slopes = _differences(rows)
    bounds = (limits.lower, limits.upper, limits.velocity * dt, limits.acceleration * (dt * dt))
    found = [
        _JointTracker(*joint[:4]).follow(*joint[4:])
        for joint in zip(
            *(bound.tolist() for bound in bounds),
            position.tolist(),
            velocity.tolist(),
            rows.T.tolist(),
            slopes.T.tolist(),
            strict=True,
        )
    ]
    states = np.array(found).T
    return states[:, 0], states[:, 1]


def _differences(rows: Array) -> Array:
    """Slopes (n, joints) by central differences, at the ends by the only neighbour; zero for a single row."""
    slopes = np.zeros_like(rows)
    if len(rows) > 1:
        slopes[1:-1] = (rows[2:] - rows[:-2]) / 2.0
        slopes[0], slopes[-1] = rows[1] - rows[0], rows[-1] - rows[-2]
    return slopes


class _JointTracker:
    """One joint's limits, and the rule that keeps them."""

    def __init__(self, lower: float, upper: float, velocity: float, acceleration: float) -> None:
        self._lower, self._upper = lower, upper
        self._lowest, self._highest = lower - _POSITION_ROUNDING, upper + _POSITION_ROUNDING
        self._velocity, self._acceleration = velocity, acceleration
        self._fastest, self._hardest = velocity * (1.0 + _ROUNDING), acceleration * (1.0 + _ROUNDING)
        # Farther from a position limit than this, any velocity is slow enough.
        self._far = velocity * (velocity / acceleration + 2.0) / 2.0

    def follow(
        self, q: float, v: float, rows: Sequence[float], slopes: Sequence[float]
    ) -> tuple[list[float], list[float]]:
        """Positions and velocities at the rows, from state (q, v) one row before the first."""
        positions, velocities = [], []
        # The rows half a step before each row: where the distance from them is measured.
        half = rows[0] - slopes[0] / 2.0
        for row, slope in zip(rows, slopes, strict=True):
            if self._meets(q, v, row, slope):
                q, v = row, slope
            else:
                middle = q + v / 2.0
                v = self._closing_velocity(v, middle, middle - half, slope)
                q = middle + v / 2.0
            positions.append(q)
            velocities.append(v)
            half = row + slope / 2.0
        return positions, velocities

    def _meets(self, q: float, v: float, row: float, slope: float) -> bool:
        """Whether the cubic from (q, v) to (row, slope) keeps all limits and ends in a state that can still brake."""
        way = 6.0 * (row - q)
        a0, a1 = way - 4.0 * v - 2.0 * slope, 4.0 * slope + 2.0 * v - way
        if abs(a0) > self._hardest or abs(a1) > self._hardest or not self._stops(row, slope):
            return False
        swing = a1 - a0
        # The velocity has its vertex inside the segment when the acceleration changes sign.
        if a0 * a1 < 0.0 and abs(v - a0 * a0 / (2.0 * swing)) > self._fastest:
            return False
        # A cubic stays between the four points of its control polygon.
        if self._lowest <= q + v / 3.0 <= self._highest and self._lowest <= row - slope / 3.0 <= self._highest:
            return True
        # Between these points a joint strays less than 0.4 mrad at 10 rad/s^2.
        return all(
            self._lowest <= q + s * (v + s * (a0 / 2.0 + s * swing / 6.0)) <= self._highest for s in (0.25, 0.5, 0.75)
        )

    def _stops(self, q: float, v: float) -> bool:
        """Whether a state is within the limits and stops within them (see `limits.stopping_distance`)."""
        speed = abs(v)
        end = q + v * math.ceil(speed / self._acceleration - 1e-9) / 2.0
        return speed <= self._fastest and self._lowest <= q <= self._highest and self._lowest <= end <= self._highest

    def _closing_velocity(self, v: float, middle: float, remaining: float, slope: float) -> float:
        """Velocity at the next knot, reached at constant acceleration, that closes in on the rows.

        middle: where half a step at `v` leads; remaining: how far that is from the rows there. The relative speed aimed
        for is the highest from which a stop at the row is still possible; the same rule, in absolute terms, keeps off
        the position limits.
        """
        most = self._acceleration
        if remaining > 0.0:
            aim = slope - _approach(remaining, _CATCH_UP * most)
        else:
            aim = slope + _approach(-remaining, _CATCH_UP * most)
        above, below = self._upper - middle, middle - self._lower
        if above < self._far:
            aim = min(aim, _approach(above, most))
        if below < self._far:
            aim = max(aim, -_approach(below, most))
        fastest, slowest = min(self._velocity, v + most), max(-self._velocity, v - most)
        aim = fastest if aim > fastest else slowest if aim < slowest else aim
        if self._stops(middle + aim / 2.0, aim):
            return aim
        return v * (1.0 - 1.0 / max(1, math.ceil(abs(v) / most - 1e-9)))


def _approach(distance: float, acceleration: float) -> float:
    """Highest speed at the next knot from which a stop on the grid still ends within `distance`; 0 without room."""
    if distance <= 0.0:
        return 0.0
    return acceleration * (math.sqrt(1.0 + 2.0 * distance / acceleration) - 1.0)
