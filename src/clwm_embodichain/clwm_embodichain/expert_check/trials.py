"""Trials of the scripted experts: one goal each, asked for at the start of an episode or in the middle of one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.motion import CLOSED
from clwm_sim.experts.playing import play
from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge
from clwm_sim.registry import goal_kinds, goals_in, kinds_in, scene_named, scenes
from clwm_sim.scenes.things import Layout
from clwm_sim.stage import Stage

MIDDLE_TIME = (0.25, 5.0)  # s for which an episode has gone on when the goal is asked for in its middle
IMAGE_SIZE = 32  # px of pictures that nobody takes
OTHER_GOAL_SHARE = 0.3  # of those episodes pursued another goal until then


class TrialError(ValueError):
    """A trial that cannot be made; the message says why."""


@dataclass(frozen=True)
class TrialOrder:
    """Which goal is asked for. Odd seeds ask in the middle of an episode, even ones at its start.

    is_control: the expert pursues another goal of the scene, so that what is asked for must not be achieved.
    """

    scene: str
    kind: str
    seed: int
    is_control: bool = False

    @property
    def is_midway(self) -> bool:
        return self.seed % 2 == 1


@dataclass(frozen=True)
class TrialResult:
    """How it went. outcome: `achieved`, `lost`, or `open` when the time was over; seconds since the asking; cpu: s of
    processor for all of it; touched: whether arms touched one another or the table with more than fingers.
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

    @property
    def order(self) -> TrialOrder:
        """What it is the result of."""
        return TrialOrder(self.scene, self.kind, self.seed, self.is_control)


def orders(scene: str | None, kind: str | None, seeds: range, controls: int = 0) -> list[TrialOrder]:
    """All trials of one scene or all, one kind of goal or all; with controls of the first so many seeds.

    Raises RegistryError or TrialError for a scene or a goal that does not exist.
    """
    chosen = [scene_named(scene).name] if scene else list(scenes())
    if kind is not None and kind not in goal_kinds():
        raise TrialError(f"goal '{kind}' does not exist; expected one of {', '.join(goal_kinds())}")
    pairs = [(name, goal.kind) for name in chosen for goal in kinds_in(name) if kind in (None, goal.kind)]
    if not pairs:
        raise TrialError(f"scene '{scene}' offers no goal '{kind}'; it offers {_offered(str(scene))}")
    wanted = [*((seed, False) for seed in seeds), *((seed, True) for seed in seeds[:controls])]
    return [TrialOrder(name, goal, seed, is_control) for name, goal in pairs for seed, is_control in wanted]


def _offered(scene: str) -> str:
    return ", ".join(kind.kind for kind in kinds_in(scene))


class ExpertTrials:
    """Makes trials one after the other; each scene is compiled once."""

    def __init__(self) -> None:
        self._robot = RobotDescription.load("dual_fr3_mujoco")
        self._expert = GoalExpert(self._robot)
        self._stages: dict[str, Stage] = {}

    def run(self, order: TrialOrder) -> TrialResult:
        """Make one trial. Raises TrialError when the scene offers no goal of this kind that is not achieved yet."""
        began = time.process_time()
        stage = self._stage(order.scene)
        layout, goal, pursued = self._prepare(stage, order)
        asked_at = stage.time
        judge = Judge(goals_in(order.scene, layout), asked_at, stage.situation())
        touched = False
        for _ in play(stage, self._expert, pursued, layout, judge):
            touched |= stage.arms_touch()
            if judge.verdicts[goal.name] != "open" or stage.time - asked_at >= goal.timeout:
                break
        return TrialResult(
            order.scene,
            order.kind,
            order.seed,
            goal.name,
            judge.verdicts[goal.name],
            round(stage.time - asked_at, 3),
            round(time.process_time() - began, 3),
            touched,
            order.is_control,
        )

    def _prepare(self, stage: Stage, order: TrialOrder) -> tuple[Layout, Goal, Goal]:
        """The stage as it is when a goal is asked for, that goal, and the one pursued: neither is achieved then."""
        for attempt in itertools.count():
            rng = np.random.default_rng([order.seed, attempt, 11])
            layout = scene_named(order.scene).draw(rng)
            stage.set_up(layout, rng)
            self._expert.start()
            goals = [goal for goal in self._open(stage, order.scene, layout) if goal.kind == order.kind]
            if goals:
                goal = goals[rng.integers(len(goals))]
                if order.is_midway:
                    self._go_on(stage, order.scene, layout, goal, rng)
                unachieved = list(self._open(stage, order.scene, layout))
                pursued = _another(goal, unachieved, order.seed) if order.is_control else goal
                if goal in unachieved and pursued is not None:
                    return layout, goal, pursued
            if attempt >= 50:
                raise TrialError(
                    f"scene '{order.scene}' has no goal '{order.kind}' that is not achieved, in 50 layouts"
                )

    def _go_on(self, stage: Stage, scene: str, layout: Layout, goal: Goal, rng: np.random.Generator) -> None:
        """Pursue the goal, or another one, under disturbance, for some time."""
        others = [other for other in goals_in(scene, layout) if other != goal]
        if others and rng.random() < OTHER_GOAL_SHARE:
            goal = others[rng.integers(len(others))]
        disturbance = Disturbance(rng)

        def disturb(row: NDArray) -> NDArray:
            return disturbed(row, self._expert, disturbance)

        rows = round(rng.uniform(*MIDDLE_TIME) / ROW_DT)
        for _ in itertools.islice(play(stage, self._expert, goal, layout, disturb=disturb), rows):
            pass

    def _open(self, stage: Stage, scene: str, layout: Layout) -> Iterator[Goal]:
        now = stage.situation()
        # What has to be held for seconds is not achieved by being so now.
        return (g for g in goals_in(scene, layout) if g.settling > 0.0 or not g.is_achieved(now, now))

    def _stage(self, name: str) -> Stage:
        if name not in self._stages:
            self._stages[name] = Stage(scene_named(name), self._robot, IMAGE_SIZE)
        return self._stages[name]


def _another(goal: Goal, goals: Sequence[Goal], seed: int) -> Goal | None:
    """One of `goals` to be pursued in place of `goal`: of another kind, where there is one; None without any."""
    others = [other for other in goals if other.kind != goal.kind] or [other for other in goals if other != goal]
    return others[seed % len(others)] if others else None


def disturbed(row: NDArray, expert: GoalExpert, disturbance: Disturbance) -> NDArray[np.float32]:
    """What the arms are sent in place of the expert's row (30,)."""
    early = disturbance.closes_early(expert.noise_tolerance)
    shift, turn = disturbance.next_step(expert.noise_tolerance)
    row = expert.displaced(row, shift, turn)
    row[GRIPPERS] = np.where(early, CLOSED, row[GRIPPERS])
    return row
