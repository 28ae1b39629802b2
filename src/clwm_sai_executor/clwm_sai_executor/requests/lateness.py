"""How long after its due instant a periodic callback runs."""

from __future__ import annotations

import math


class Lateness:
    """Follows a timer that keeps its phase and drops what it has missed, as ROS timers do."""

    def __init__(self, period: float) -> None:
        """period: s."""
        self._period = period
        self._due = math.nan

    def of(self, now: float) -> float:
        """Lateness [s] of the callback that runs at `now` on a clock that never jumps; NaN for the first one."""
        if math.isnan(self._due):
            self._due = now + self._period
            return math.nan
        late = now - self._due
        if late < 0.0:
            # The first callback was late itself: this one tells when they are really due.
            self._due = now
            late = 0.0
        self._due += self._period * (1 + math.floor(late / self._period))
        return late
