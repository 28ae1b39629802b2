"""Whether the arms follow what they were sent: a controller that ignores its commands is noticed by where they are."""

from __future__ import annotations

import numpy as np

from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.path.splice import Path, sample

# s for which arms must be astray: a late message, or a pause of the simulator, makes them so for a moment.
PATIENCE = 0.2


class Following:
    """Compares measured joints with the path of the same instant, while the path moves."""

    def __init__(self, largest: float) -> None:
        """largest: rad between a joint and its command that is still following."""
        self._largest = largest
        self._since: float | None = None

    def astray(self, path: Path | None, arms: MeasuredArms) -> str:
        """What is wrong, in one sentence; empty when the arms follow, or when they are to rest."""
        if path is None or not path.time(path.first) <= arms.stamp <= path.time(path.last):
            self._since = None
            return ""
        errors = np.abs(arms.positions - sample(path, arms.stamp)[0])
        worst = int(errors.argmax())
        if errors[worst] <= self._largest:
            self._since = None
            return ""
        self._since = arms.stamp if self._since is None else self._since
        if arms.stamp - self._since < PATIENCE:
            return ""
        self._since = None
        return (
            f"the arms do not follow: joint {worst} is {errors[worst]:.2f} rad from its command, at most "
            f"{self._largest} rad expected; is its controller active, and the arm free?"
        )
