"""What a human did between two turns of the policy, and what an operator says of it. No clock, no file and no ROS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from clwm_common.messages import Mode


class CorrectionLabel(IntEnum):
    """DISCARDED: nobody is to learn from it. RECOVERY: it brought the task back on its way."""

    NONE = 0
    DISCARDED = 1
    RECOVERY = 2


@dataclass(frozen=True)
class Correction:
    """From the moment that a human moved the arms to the policy's next turn, ns; end: None while it lasts."""

    begin: int
    end: int | None = None
    label: CorrectionLabel = CorrectionLabel.NONE

    def overlaps(self, other: Correction) -> bool:
        """Whether both are the same one: two of them are never at the same time."""
        return self.begin <= _end(other) and other.begin <= _end(self)

    @property
    def word(self) -> str:
        """The label in small letters."""
        return self.label.name.lower()


class Corrections:
    """All of them, in order. Holding the arms, and moving them again, goes on with the same correction."""

    def __init__(self) -> None:
        self.found: list[Correction] = []

    @property
    def is_going_on(self) -> bool:
        return bool(self.found) and self.found[-1].end is None

    def hear(self, now: int, mode: Mode) -> None:
        """The mode that is in force from now on [ns]."""
        if mode is Mode.TELEOP and not self.is_going_on:
            self.found.append(Correction(now))
        elif mode is Mode.POLICY and self.is_going_on:
            self.found[-1] = replace(self.found[-1], end=now)

    def label_last(self, label: CorrectionLabel) -> None:
        """Say this of the newest one, in place of what was said before."""
        self.found[-1] = replace(self.found[-1], label=label)


def corrections_of(modes: Iterable[tuple[int, Mode]]) -> list[Correction]:
    """Those of a recording's modes: (since when [ns], mode)."""
    corrections = Corrections()
    for now, mode in modes:
        corrections.hear(now, mode)
    return corrections.found


def replaced(known: Iterable[Correction], new: Correction) -> tuple[Correction, ...]:
    """Labelled ones with `new` among them, in order of time; a label NONE takes it out."""
    others = [it for it in known if not it.overlaps(new)]
    return tuple(sorted([*others, *([new] if new.label else [])], key=lambda it: it.begin))


def _end(correction: Correction) -> float:
    return math.inf if correction.end is None else correction.end
