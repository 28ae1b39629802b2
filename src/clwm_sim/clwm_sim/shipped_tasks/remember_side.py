"""A pad is shown on one side and taken away; much later it appears in the middle, and that side's hand must go there.

Between the two the world looks the same whichever side it was, and so it does when the hands must choose: only a memory
can know. Whoever does not remember is right half of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clwm_sim.goals.recall_side import RecallSide
from clwm_sim.shipped_tasks.base import PadChange, Placement, Pose, TableSituation, TableTask, UnknownTask

SHOWN = 1.0  # s for which the cue lies there: one or two observations
CHUNK = 0.6  # s from one observation to the next: the delay's unit
DELAYS = (2, 60)  # chunks between the last sight of the cue and the pad in the middle
CUE_Y = 0.15  # m to the side
HOVER = 0.14  # m above the pad where the hand has to come
REACH = 0.10  # m around that point within which a hand has chosen, right or wrong: what counts is which, not how well
CHOICE_TIME = 6.0  # s from the pad's appearance in the middle to the time-out


@dataclass(frozen=True)
class RememberSide(TableTask):
    """delay: chunks to wait; drawn for every episode when None. asked_arm: the same for the side, 0 left, 1 right."""

    name: ClassVar[str] = "remember_side"
    instructions: ClassVar[tuple[str, ...]] = (
        "remember on which side the pad was and reach for it with that hand",
        "use the hand on whose side the pad was shown",
        "when the pad comes back, point at it with the arm of the side where it was first",
    )
    held_out: ClassVar[tuple[str, ...]] = RecallSide.held_out
    hold_time: ClassVar[float] = 0.1
    loss: ClassVar[str] = "the wrong hand has reached for the pad"

    delay: int | None = None
    asked_arm: int | None = None

    @classmethod
    def parse(cls, variant: str) -> RememberSide:
        """`20` is a delay of 20 chunks. Raises UnknownTask."""
        try:
            delay = int(variant)
        except ValueError:
            delay = -1
        if not 1 <= delay <= 10 * DELAYS[1]:
            raise UnknownTask(
                f"delay '{variant}' of task '{cls.name}'; expected a number of chunks from 1 to {10 * DELAYS[1]}, "
                f"such as {cls.name}:20"
            )
        return cls(delay)

    @property
    def timeout(self) -> float:
        longest = DELAYS[1] if self.delay is None else self.delay
        return SHOWN + CHUNK * longest + CHOICE_TIME

    def place(self, rng: np.random.Generator) -> Placement:
        drawn_arm, drawn_delay = int(rng.integers(2)), int(rng.integers(DELAYS[0], DELAYS[1] + 1))
        arm = drawn_arm if self.asked_arm is None else self.asked_arm
        delay = drawn_delay if self.delay is None else self.delay
        side = 1.0 if arm == 0 else -1.0
        cue = Pose(x=0.47 + rng.uniform(-0.03, 0.03), y=side * (CUE_Y + rng.uniform(-0.03, 0.03)))
        middle = Pose(x=0.47 + rng.uniform(-0.03, 0.03), y=rng.uniform(-0.02, 0.02))
        changes = (PadChange(SHOWN, None), PadChange(SHOWN + CHUNK * delay, middle))
        return Placement(pad=cue, changes=changes, asked_arm=arm)

    def is_achieved(self, now: TableSituation) -> bool:
        return is_choice(now.pad_position) and bool(self._away(now)[now.asked_arm] < REACH)

    def is_lost(self, now: TableSituation) -> bool:
        return is_choice(now.pad_position) and bool(self._away(now)[1 - now.asked_arm] < REACH)

    @staticmethod
    def _away(now: TableSituation) -> NDArray[np.float64]:
        return np.linalg.norm(now.tcp - hover_point(now.pad_position), axis=1)


def is_choice(pad_position: NDArray[np.float64]) -> bool:
    """Whether the pad lies in the middle of the table, which asks for the choice."""
    return bool(pad_position[2] > -0.1 and abs(pad_position[1]) < CUE_Y / 2.0)


def hover_point(pad_position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the chosen hand has to come, (3,) m."""
    return pad_position + np.array([0.0, 0.0, HOVER])
