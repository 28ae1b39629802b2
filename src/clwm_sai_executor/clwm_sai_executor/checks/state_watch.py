"""Whether the measured arms can be trusted: finite, fresh, and where they were a moment ago."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.events import MeasuredArms


class StateQuality(Enum):
    """What a joint state is worth."""

    GOOD = "used"
    REPEATED = "not newer than the last one, or from before a reset"
    INVALID = "wrong width, not finite, or stamped in the future"
    JUMPED = "used, but the arms cannot have moved there by themselves"


class StateWatch:
    """Keeps the newest joint state that deserves it."""

    def __init__(self, velocity_limit: NDArray[np.float64], jump_distance: float, ahead: float) -> None:
        """velocity_limit: (14,) rad/s; arms may be off by `jump_distance` rad on top of what it allows.

        ahead: a stamp may be so far [s] ahead of the clock. One from before the clock was set back, if believed, would
        hide every later joint state, and their silence with them.
        """
        self._velocity_limit = velocity_limit
        self._jump_distance = jump_distance
        self._ahead = ahead
        self._trusted_from = -math.inf
        self.latest: MeasuredArms | None = None
        self.gap = math.nan

    def forget(self, trusted_from: float) -> None:
        """Believe nothing measured before this instant."""
        self.latest = None
        self._trusted_from = trusted_from

    def take(self, arms: MeasuredArms, now: float) -> StateQuality:
        """Judge a joint state that came at `now`; a GOOD or JUMPED one becomes `latest`, `gap` the time between [s]."""
        positions, velocities, widths = arms.positions, arms.velocities, arms.widths
        if positions.shape != (14,) or velocities.shape != (14,) or widths.shape != (2,):
            return StateQuality.INVALID
        # A sum of squares is finite only when every number is; a dot product is the cheapest way to look at them all.
        if not math.isfinite(positions @ positions + velocities @ velocities + widths @ widths):
            return StateQuality.INVALID
        if arms.stamp > now + self._ahead:
            return StateQuality.INVALID
        last = self.latest
        if arms.stamp < self._trusted_from or (last is not None and arms.stamp <= last.stamp):
            return StateQuality.REPEATED
        self.latest = arms
        if last is None:
            return StateQuality.GOOD
        self.gap = arms.stamp - last.stamp
        moved = positions - last.positions
        if moved @ moved <= self._jump_distance**2:
            return StateQuality.GOOD
        possible = self._velocity_limit * self.gap + self._jump_distance
        return StateQuality.JUMPED if (np.abs(moved) > possible).any() else StateQuality.GOOD

    def age(self, now: float) -> float:
        """Age [s] of the newest joint state; inf when there is none."""
        return math.inf if self.latest is None else now - self.latest.stamp
