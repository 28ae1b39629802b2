"""Trials of the scripted experts: one goal each, asked for at the start of an episode or in the middle of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from clwm_embodichain.expansion.attempts import Attempts
from clwm_embodichain.expansion.parts import Expansion
from clwm_sim.registry import offers


@dataclass(frozen=True)
class TrialOrder:
    """Which goal is asked for. Odd seeds ask in the middle of an episode, even ones at its start.

    is_control: the expert pursues another goal of the scene, so that what is asked for must not be achieved; asked at
    the start, since what is in motion may end as it is asked.
    expansion: the parts that are on, as `Expansion` writes them.
    """

    scene: str
    kind: str
    seed: int
    is_control: bool = False
    expansion: str = "none"

    @property
    def is_midway(self) -> bool:
        return self.seed % 2 == 1 and not self.is_control


@dataclass(frozen=True)
class TrialResult:
    """How it went. outcome: `achieved`, `lost`, or `open` when the time was over; seconds since the asking; cpu: s of
    processor for all of it; touched: whether arms touched one another or the table with more than fingers; replans: how
    often it failed and was tried anew.
    """

    scene: str
    kind: str
    seed: int
    goal: str
    outcome: str
    seconds: float
    cpu: float
    touched: bool
    is_control: bool = False
    expansion: str = "none"
    replans: int = 0

    @property
    def order(self) -> TrialOrder:
        """What it is the result of."""
        return TrialOrder(self.scene, self.kind, self.seed, self.is_control, self.expansion)


def orders(
    scene: str | None, kind: str | None, seeds: range, controls: int = 0, expansions: Sequence[str] = ("none",)
) -> list[TrialOrder]:
    """All trials of one scene or all, one kind of goal or all, with each expansion, and controls of the first seeds.

    Raises RegistryError for a scene or a goal that does not exist.
    """
    wanted = [*((seed, False) for seed in seeds), *((seed, True) for seed in seeds[:controls])]
    return [
        TrialOrder(name, goal, seed, is_control, expansion)
        for name, goal in offers(scene, kind)
        for expansion in expansions
        for seed, is_control in wanted
    ]


class ExpertTrials:
    """Makes trials one after the other; each scene is compiled once."""

    def __init__(self) -> None:
        self._attempts = Attempts()

    def run(self, order: TrialOrder) -> TrialResult:
        """Make one trial. Raises AttemptError when the scene offers no goal of this kind that is not achieved yet."""
        began = time.process_time()
        expansion = Expansion.parse(order.expansion)
        attempt = self._attempts.prepare(
            order.scene, order.kind, order.seed, expansion, is_midway=order.is_midway, is_control=order.is_control
        )
        touched = False
        for _ in attempt.play():
            touched |= attempt.stage.arms_touch()
        return TrialResult(
            order.scene,
            order.kind,
            order.seed,
            attempt.goal.name,
            attempt.outcome,
            round(attempt.stage.time - attempt.asked_at, 3),
            round(time.process_time() - began, 3),
            touched,
            order.is_control,
            order.expansion,
            attempt.replans,
        )
