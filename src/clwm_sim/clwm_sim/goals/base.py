"""What a goal is: when it is achieved, how to ask for it, and what an expert's hands would do for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from clwm_sim.experts.carrying import in_turn
from clwm_sim.experts.motion import Aim, View
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

ANY_SCENE = "*"
OPEN_WIDTH = 0.06  # m from which on a hand has let go of anything here
NEAR = 0.08  # m
FINGERS = 0.025  # m from a thing's end to the middle of fingers that still touch it


class Goal(ABC):
    """One thing that may be asked for in one episode, its colours bound.

    kind: names the class, alike in all episodes; name: tells it from the other goals of its episode. scenes: where it
    is offered. training, held_out: sentences with `{slots}`; no training may see the latter. hold_time: s for which
    `is_achieved` must stay true; timeout: s from the asking; settling: s from the asking until it is judged. loss: what
    has happened when `is_lost`, in words. moves: whether it asks for any motion.
    """

    kind: ClassVar[str]
    scenes: ClassVar[tuple[str, ...]]
    training: ClassVar[tuple[str, ...]]
    held_out: ClassVar[tuple[str, ...]]
    loss: ClassVar[str] = "what it is about fell from the table, or lies where no arm reaches"
    hold_time: ClassVar[float] = 0.3
    settling: ClassVar[float] = 0.0
    timeout: ClassVar[float] = 15.0
    moves: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        """The goals of this kind that an episode of this layout has."""

    @property
    def name(self) -> str:
        return ":".join([self.kind, *self.slots.values()])

    @property
    def slots(self) -> dict[str, str]:
        """What the sentences name, such as colours."""
        return {}

    @property
    def things(self) -> tuple[Thing, ...]:
        """What it is about, in the order of its sentences' slots."""
        return tuple(value for value in vars(self).values() if isinstance(value, Thing))

    @abstractmethod
    def is_achieved(self, now: Situation, start: Situation) -> bool:
        """Whether things are as asked; start: how they were when it was asked, or settled."""

    def is_lost(self, now: Situation, start: Situation) -> bool:
        """Whether it can no longer be achieved: one of the things that it binds is gone."""
        names = [thing.name for thing in self.things]
        return any(name in now.objects and is_off_table(now.objects[name].position) for name in names)

    @abstractmethod
    def aims(self, view: View) -> list[Aim | None]:
        """Where the expert's hands ought to go now, left first; None sends an arm home."""

    def retreat(self, view: View) -> list[Aim | None]:
        """Where the hands go before the expert tries once more: they put down what they hold, rise and go home."""
        return in_turn(view, [None, None])

    def sentences(self, *, held_out: bool = False) -> tuple[str, ...]:
        """All ways to ask for it: those for training, or the other ones."""
        return tuple(text.format(**self.slots) for text in (self.held_out if held_out else self.training))


def is_off_table(position: np.ndarray) -> bool:
    """Whether something fell from the table or lies where no arm gets."""
    x, y, z = position
    return bool(z < -0.02 or not 0.15 < x < 0.85 or abs(y) > 0.60)


def has_let_go(now: Situation, thing: Thing) -> bool:
    """Whether no hand that is near the thing is closed."""
    near = np.linalg.norm(now.tcp - now.objects[thing.name].position, axis=1) < max(NEAR, thing.extent + FINGERS)
    return not np.any(near & (now.widths < OPEN_WIDTH))


def rests_at(now: Situation, thing: Thing, place: np.ndarray, tolerance: float) -> bool:
    """Whether the thing's origin is within `tolerance` m of place (3,) on the table's plane and 8 mm above or below it,
    at rest, and let go of.
    """
    state = now.objects[thing.name]
    off = state.position - place
    at_rest = abs(off[2]) < 0.008 and state.speed < 0.02
    return bool(np.hypot(off[0], off[1]) < tolerance and at_rest and has_let_go(now, thing))
