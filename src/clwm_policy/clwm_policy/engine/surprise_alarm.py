"""An alarm for a world unlike the one of the calibration: predictions that stay wrong, chunk after chunk."""

from __future__ import annotations

import math

from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.re_entry import Adaptive, ReEntryPolicy

# One surprise is what re-entry is there for; only a run of them says that the world is another one.
RAISE_AFTER = 3
CLEAR_AFTER = 5


class SurpriseAlarm:
    """Raised by some surrogate errors above the limit in a row, cleared by more within it in a row.

    limit: largest relative error that an undisturbed chunk should have. Counts chunks, knows no time.
    """

    def __init__(self, limit: float, raise_after: int = RAISE_AFTER, clear_after: int = CLEAR_AFTER) -> None:
        self.limit = limit
        self.is_raised = False
        self._raise_after = raise_after
        self._clear_after = clear_after
        self._against = 0  # chunks in a row that contradict the present state

    def add(self, surrogate_error: float) -> bool:
        """Take in the error of one chunk; whether the alarm is raised now. NaN, no surrogate, says nothing."""
        if math.isnan(surrogate_error):
            return self.is_raised
        is_against = (surrogate_error > self.limit) != self.is_raised
        self._against = self._against + 1 if is_against else 0
        if self._against >= (self._clear_after if self.is_raised else self._raise_after):
            self.is_raised, self._against = not self.is_raised, 0
        return self.is_raised

    def reset(self) -> None:
        """Begin anew, not raised."""
        self.is_raised, self._against = False, 0


def calibrated_alarm(re_entry: ReEntryPolicy) -> SurpriseAlarm | None:
    """The alarm with the limit that was measured on the weights in use; None when there is no such limit."""
    calibration = re_entry.calibration if isinstance(re_entry, Adaptive) else None
    limit = calibration.surrogate_error_limit if isinstance(calibration, Calibration) else None
    return None if limit is None else SurpriseAlarm(limit)
