"""A pad is shown on one side and taken away; much later it appears in the middle, and that side's hand must go there.

Between the two the world looks the same whichever side it was, and so it does when the hands must choose: only a memory
can know. Whoever does not remember is right half of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clwm_sim.experts.motion import OPEN, Aim, View
from clwm_sim.goals.base import Goal
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

HOVER = 0.14  # m above the pad where the hand has to come
REACH = 0.10  # m around that point within which a hand has chosen, right or wrong: what counts is which, not how well
MIDDLE = 0.075  # m to either side of the middle line
CHOICE_TIME = 6.0  # s from the pad's appearance in the middle to the time-out


@dataclass(frozen=True)
class RecallSide(Goal):
    kind: ClassVar[str] = "recall_side"
    scenes: ClassVar[tuple[str, ...]] = ("cue",)
    training: ClassVar[tuple[str, ...]] = (
        "remember on which side the pad was and reach for it with that hand",
        "use the hand on whose side the pad was shown",
        "when the pad comes back, point at it with the arm of the side where it was first",
        "wait for the pad to return, then reach over it with the hand on the side you saw it",
        "the pad appears on one side; later go to it with the hand of that side",
        "remember the side of the pad and use that arm when it is in the middle",
        "keep in mind where the pad was, and reach with the arm that was nearer",
        "reach for the pad in the middle with the hand of the side it came from",
        "choose the arm by where the pad was shown before",
        "once the pad is back, move that hand over it which it was shown to",
        "point at the returning pad with the arm it was in front of at first",
        "please remember the pad's side and then reach with that hand",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "memorise the side of the pad and later pick that arm to reach it",
        "whichever hand saw the pad first should go to it when it is central",
        "recall left or right, then hover over the pad with the matching hand",
        "do not forget where the pad was; that arm must go to the middle later",
        "after the pause, send the arm from the pad's first side to the pad",
    )
    loss: ClassVar[str] = "the other hand reached for the pad"
    hold_time: ClassVar[float] = 0.1
    pad: Thing
    asked_arm: int
    shown_at: float

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        (pad,) = layout.of_kind("pad")
        return (cls(shown_at=layout.changes[-1].at, pad=pad, asked_arm=layout.asked_arm),)

    @property
    def timeout(self) -> float:
        return self.shown_at + CHOICE_TIME

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        return self._chosen(now, self.asked_arm)

    def is_lost(self, now: Situation, start: Situation) -> bool:
        return self._chosen(now, 1 - self.asked_arm)

    def aims(self, view: View) -> list[Aim | None]:
        aims: list[Aim | None] = [None, None]
        if self._is_choice(view.now):
            place = view.now.objects[self.pad.name].position + [0.0, 0.0, HOVER]
            aims[self.asked_arm] = Aim(place, 0.0, OPEN)
        return aims

    def _is_choice(self, now: Situation) -> bool:
        """Whether the pad lies in the middle of the table, which asks for the choice."""
        return self.pad.name in now.objects and abs(now.objects[self.pad.name].position[1]) < MIDDLE

    def _chosen(self, now: Situation, arm: int) -> bool:
        if not self._is_choice(now):
            return False
        hover = now.objects[self.pad.name].position + [0.0, 0.0, HOVER]
        return bool(np.linalg.norm(now.tcp[arm] - hover) < REACH)
