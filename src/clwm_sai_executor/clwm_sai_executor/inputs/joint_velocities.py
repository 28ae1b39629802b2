"""Joint velocities where a driver gives none: slopes of positions over stamps, through a low-pass filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TIME_CONSTANT = 0.02  # s of the first-order filter; a velocity is that much late, and encoder noise that much smaller
LONGEST_GAP = 0.2  # s between two positions of which a slope still says something
LEAP = 2.0  # times its velocity limit: no joint moves so fast, it was put there


class VelocityEstimate:
    """Velocities of n joints; NaN while unknown, which is until two positions have been heard."""

    def __init__(self, velocity_limit: Array) -> None:
        """velocity_limit: (n,) rad/s."""
        self._fastest = LEAP * velocity_limit
        self._stamps = np.full(len(velocity_limit), np.nan)
        self._positions = np.zeros(len(velocity_limit))
        self.velocities = np.full(len(velocity_limit), np.nan)

    def take(self, joints: NDArray[np.intp], stamp: float, positions: Array) -> None:
        """Positions (k,) rad of some `joints` (k,) at `stamp` [s]. An earlier stamp, a gap or a leap begins anew."""
        gap = stamp - self._stamps[joints]
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (positions - self._positions[joints]) / gap
            is_slope = (gap > 0.0) & (gap <= LONGEST_GAP) & (np.abs(slope) <= self._fastest[joints])
            weight = gap / (TIME_CONSTANT + gap)
        before = self.velocities[joints]
        start = np.where(np.isnan(before), slope, before)
        self.velocities[joints] = np.where(is_slope, start + weight * (slope - start), np.nan)
        self._stamps[joints], self._positions[joints] = stamp, positions
