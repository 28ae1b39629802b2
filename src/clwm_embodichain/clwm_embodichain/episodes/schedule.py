"""Which goal each seed plays: all in their shares, evenly, and more often where little is achieved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.episodes.choices import GoalChoice
from clwm_sim.goals.keep_still import KeepStill

STILL_SHARE = 0.15  # of the episodes ask to keep still, in the scenes in which the others ask for something
FLOOR = 0.25  # weight of a goal that always succeeds, beside 1 of one that never does
_GOLDEN = (5.0**0.5 - 1.0) / 2.0


class ScheduleError(ValueError):
    """Success rates that cannot be used; the message says what is wrong with them."""


class Schedule:
    """Shares of the choices. Keeping still has one of its own whatever the others do; no share is 0."""

    def __init__(self, choices: Sequence[GoalChoice], success: Mapping[str, float] | None = None) -> None:
        """success: by the name of a choice, 0..1, of whoever shall learn; those left out count as 0.

        Raises ScheduleError for another name, or number.
        """
        self.choices = tuple(choices)
        self.shares = self._shares(success or {})

    @classmethod
    def read(cls, choices: Sequence[GoalChoice], path: Path) -> Schedule:
        """With success rates from a JSON file, {"blocks/place": 0.4, ...}. Raises ScheduleError."""
        try:
            return cls(choices, dict(json.loads(path.read_text())))
        except (OSError, TypeError, ValueError) as error:
            raise ScheduleError(f'{path}: {error}; expected JSON such as {{"blocks/place": 0.4}}') from None

    def choose(self, number: int) -> GoalChoice:
        """What comes at this place of the sequence 0, 1, ...: every choice at nearly even distances."""
        return self.choices[chosen(self.shares, number)]

    def _shares(self, success: Mapping[str, float]) -> NDArray[np.float64]:
        names = [str(choice) for choice in self.choices]
        if unknown := sorted(set(success) - set(names)):
            raise ScheduleError(f"goal '{unknown[0]}' is not played; expected some of {', '.join(names)}")
        if wrong := [name for name, rate in success.items() if not 0.0 <= rate <= 1.0]:
            raise ScheduleError(f"success of '{wrong[0]}' is {success[wrong[0]]}; expected a rate from 0 to 1")
        weights = np.array([FLOOR + (1.0 - FLOOR) * (1.0 - success.get(name, 0.0)) for name in names])
        still = np.array([choice.kind == KeepStill.kind for choice in self.choices])
        if still.any() and not still.all():
            weights[still] *= STILL_SHARE / weights[still].sum()
            weights[~still] *= (1.0 - STILL_SHARE) / weights[~still].sum()
        return weights / weights.sum()


def chosen(shares: NDArray[np.float64], number: int) -> int:
    """Which of the choices with these shares (choices,) comes at place `number`."""
    place = (0.5 / len(shares) + number * _GOLDEN) % 1.0
    return min(int(np.searchsorted(np.cumsum(shares), place, "right")), len(shares) - 1)
