"""What a training does with a step whose loss or gradient is not finite: leave it out, and end when there are many."""

from __future__ import annotations

import math
from collections.abc import Mapping

IN_A_ROW = 10


class TrainingDiverged(RuntimeError):
    """Too many steps in a row could not be taken; the message says what was not finite and what to try."""


class FiniteSteps:
    """skipped: steps left out so far."""

    def __init__(self) -> None:
        self.skipped = 0
        self._in_a_row = 0

    def may_take(self, values: Mapping[str, float]) -> bool:
        """Whether losses and gradient norm, by name, let the step be taken.

        Raises TrainingDiverged at the tenth time in a row that they do not.
        """
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if not wrong:
            self._in_a_row = 0
            return True
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            raise TrainingDiverged(
                f"{IN_A_ROW} steps in a row could not be taken, the last because {', '.join(wrong)}; no weight was "
                "touched by them and the checkpoints are as they were: go on with a lower --learning-rate"
            )
        return False
