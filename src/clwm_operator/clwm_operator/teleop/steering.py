"""Taking the arms over by a hand that is not on a terminal's keyboard: freeze, take over, steer, hand back.

A state machine without input or output.

    FREE --take--> READY --switch held--> CLAIMING --the executor gives the arms--> STEERING
                     ^                       |                                         |
                     +---- switch released, order refused, arms taken away ------------+
    any --give_back, the seat is gone--> FREE

Who released the switch, or lost the arms, has to let go and hold it anew; the executor brakes the arms meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clwm_operator.teleop.jog import DeadMan, Word

Array = NDArray[np.float64]
OLDEST_ARMS = 0.3  # s that measured arms may be old to be steered from
CLAIM_STEPS = 5  # commands that claim the arms before they are asked for: the order travels another way than these


class Act(Enum):
    """Where a take-over stands."""

    FREE = "free"
    READY = "ready"
    CLAIMING = "claiming"
    STEERING = "steering"


@dataclass(frozen=True)
class Arms:
    """What is known of the arms. joints (14,) rad, openings (2,) m; is_owned: the executor has given them to us."""

    joints: Array
    openings: Array
    is_owned: bool


@dataclass(frozen=True)
class Ask:
    """Hold the switch, and want joints (14,) and openings (2,)."""

    joints: Array
    openings: Array


@dataclass(frozen=True)
class LetGo:
    """Release the switch: the executor brakes, and holds."""


@dataclass(frozen=True)
class OrderTeleop:
    """Ask the executor for the arms."""


Command = Ask | LetGo | OrderTeleop


class Wish(Protocol):
    """What words of one kind ask of the arms. joints: (14,) rad, openings: (2,) m, left first."""

    joints: Array
    openings: Array

    def obstacle(self, word: Any, measured: Array) -> str:
        """Why arms at joints (14,) cannot be taken over by this hand; empty when they can."""

    def begin(self, word: Any, joints: Array, openings: Array) -> None:
        """From arms that are here."""

    def step(self, dt: float, word: Any, measured: Array) -> None:
        """Move on by `dt` s; measured: joints (14,) of the arms."""


class Steering:
    """note: what the human should know, empty when all is well. seat: key of the hand that has taken over."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._switch = DeadMan()
        self.act, self.seat, self.note = Act.FREE, "", ""
        self._asked = 0
        self._at = 0.0
        self._must_release = False

    @property
    def is_taken(self) -> bool:
        return self.act is not Act.FREE

    def take(self, seat: str) -> list[Command]:
        """This hand takes over; nothing moves before it holds the switch."""
        commands = self.give_back()
        self.act, self.seat, self._must_release = Act.READY, seat, True
        return commands

    def give_back(self) -> list[Command]:
        """The end of a take-over, whoever ends it. What the arms do next is for a mode to say."""
        commands: list[Command] = [LetGo()] if self.act in (Act.CLAIMING, Act.STEERING) else []
        self._switch.release()
        self.act, self.seat, self.note, self._asked = Act.FREE, "", "", 0
        return commands

    def hear(self, now: float, seat: str, word: Word) -> None:
        """A word of some hand; only that counts which has taken over."""
        if seat == self.seat and self.is_taken:
            self._switch.hear(now, word)

    def refused(self, reason: str) -> list[Command]:
        """The executor does not give the arms."""
        return self._stop(reason) if self.act is Act.CLAIMING else []

    def release(self) -> list[Command]:
        """Release the switch for the human: he must let go and hold it anew."""
        self._switch.release()
        return self._stop(self.note) if self.act in (Act.CLAIMING, Act.STEERING) else []

    def step(self, now: float, arms: Arms | None) -> list[Command]:
        """What to do now; arms: None while nothing fresh is known of them."""
        elapsed, self._at = now - self._at, now
        word = self._switch.held(now)
        if self.act is Act.FREE:
            return []
        if word is None:
            if self._switch.word is not None and not self._switch.word.dead_man:
                self._must_release = False
            return self._stop(self.note) if self.act is not Act.READY else []
        if arms is None:
            return self._stop("the arms are not measured; look at the executor") if self.act is not Act.READY else []
        match self.act:
            case Act.READY if not self._must_release:
                if obstacle := self._wish.obstacle(word, arms.joints):
                    self.note, self._must_release = obstacle, True
                    return []
                self.act, self.note, self._asked = Act.CLAIMING, "", 0
                return self._claim(arms)
            case Act.CLAIMING if arms.is_owned:
                if obstacle := self._wish.obstacle(word, arms.joints):
                    return self._stop(obstacle)
                self.act = Act.STEERING
                self._wish.begin(word, arms.joints, arms.openings)
                return [self._ask()]
            case Act.CLAIMING:
                return self._claim(arms)
            case Act.STEERING if not arms.is_owned:
                return self._stop("the arms were taken away; release the switch and hold it again")
            case Act.STEERING:
                self._wish.step(elapsed, word, arms.joints)
                return [self._ask()]
        return []

    def _ask(self) -> Ask:
        return Ask(self._wish.joints.copy(), self._wish.openings.copy())

    def _claim(self, arms: Arms) -> list[Command]:
        self._asked += 1
        ask = Ask(arms.joints, arms.openings)
        return [ask, OrderTeleop()] if self._asked == CLAIM_STEPS else [ask]

    def _stop(self, note: str) -> list[Command]:
        self.act, self.note, self._must_release = Act.READY, note, True
        return [LetGo()]
