"""Attempts: one goal of a scene, asked for and pursued by its expert, with whichever parts of expansion are on.

attempts = Attempts(image_size=128)
attempt = attempts.prepare("blocks", "place", seed, Expansion.parse("all"))
for step in attempt.play(linger=12):      # the stage is as the step's command was decided from: draw it now
    picture = attempt.stage.render("head")
    label = attempt.plan(step, 16)
attempt.outcome                           # "achieved", "lost", or "open" when the time was over
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_embodichain.expansion.mishaps import Mishaps
from clwm_embodichain.expansion.parts import NOTHING, Expansion, generator
from clwm_embodichain.expansion.physics import draw as draw_physics
from clwm_embodichain.expansion.reachability import Reachability
from clwm_embodichain.expansion.trouble import Trouble
from clwm_embodichain.expansion.visual import draw_for
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.motion import Aim, View
from clwm_sim.experts.playing import Step, play
from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge, Verdict
from clwm_sim.physics import NOMINAL, Physics
from clwm_sim.registry import goals_in, kinds_in, scene_named
from clwm_sim.stage import Stage
from clwm_sim.world import ROBOT

MIDDLE_TIME = (0.25, 5.0)  # s for which an episode has gone on when the goal is asked for in its middle
OTHER_GOAL_SHARE = 0.3  # of those episodes pursued another goal until then
REPLANS = 2  # after a failure
RETREAT_ROWS = 40  # 2 s
LAYOUTS = 50  # drawn at most until one offers what is wanted


class AttemptError(ValueError):
    """An attempt that cannot be made; the message says why."""


@dataclass(frozen=True)
class Retreat:
    """What an expert does when a goal was not achieved, before it tries once more."""

    goal: Goal

    def aims(self, view: View) -> list[Aim | None]:
        return self.goal.retreat(view)


class Attempt:
    """One goal is asked for, and pursued on a stage that is ready.

    goals: all of the episode; goal: the one that is asked for; pursued: what the expert does, the same unless this is
    a control. replans: how often it failed and was tried anew from where things were, at most as often as is allowed.
    """

    def __init__(
        self,
        stage: Stage,
        expert: GoalExpert,
        goals: Sequence[Goal],
        goal: Goal,
        trouble: Trouble | None = None,
        allowed_replans: int = 0,
    ) -> None:
        self.stage, self.layout, self.goals = stage, stage.layout, tuple(goals)
        self._expert, self._trouble = expert, trouble
        self._allowed_replans, self.replans = allowed_replans, 0
        self.ask(goal)

    def ask(self, goal: Goal, pursued: Goal | None = None) -> None:
        """Judge all goals anew from now on; `play` pursues this one, or another as a control."""
        self.goal, self.pursued = goal, pursued or goal
        self.asked_at = self.stage.time
        self._judge = Judge(self.goals, self.asked_at, self.stage.situation())

    def play(self, linger: int = 0, rows: int | None = None) -> Iterator[Step]:
        """Steps, each before it takes effect, until the goal is achieved, or has failed for good.

        It has failed when it is lost or its time is over; then, where that is allowed, the hands retreat, and the
        expert plans anew from where things are. linger: rows for which it goes on when the goal is achieved. rows:
        after which it stops in any case; another goal may be asked for then, and played.
        """
        yield from self._pursue(linger, rows)
        while rows is None and self.outcome != "achieved" and self.replans < self._allowed_replans:
            now = self.stage.situation()
            if self.goal.is_lost(now, now):
                return
            self.replans += 1
            steps = play(self.stage, self._expert, Retreat(self.goal), self.layout)
            yield from self._until(steps, lambda count: count == RETREAT_ROWS)
            self.ask(self.goal, self.pursued)
            yield from self._pursue(linger, None)

    def _pursue(self, linger: int, rows: int | None) -> Iterator[Step]:
        lingered = itertools.count()

        def is_over(count: int) -> bool:
            if count == rows or self.outcome == "lost":
                return True
            if self.outcome == "achieved":
                return next(lingered) == linger
            return self.stage.time - self.asked_at >= self.goal.timeout

        trouble = self._trouble if self.pursued.moves else None
        steps = play(self.stage, self._expert, self.pursued, self.layout, self._judge, trouble)
        yield from self._until(steps, is_over)

    def _until(self, steps: Iterator[Step], is_over: Callable[[int], bool]) -> Iterator[Step]:
        """Those before the first at whose number it is over, which nobody takes."""
        for count, step in enumerate(steps):
            if is_over(count):
                self._expert.velocity = step.velocity
                return
            yield step

    def plan(self, step: Step, rows: int) -> NDArray[np.float32]:
        """What the expert would command from a step on if nothing disturbed it: (rows, 30), the first the row then in
        force.
        """
        return self._expert.plan(step.row, step.goal, self.layout, step.now, step.velocity, rows)

    def others(self) -> list[Goal]:
        """The goals that are not achieved now, besides the one that is asked for."""
        return [goal for goal in _unachieved(self.stage, self.goals) if goal != self.goal]

    @property
    def outcome(self) -> Verdict:
        """The verdict on the goal that is asked for."""
        return self._judge.verdicts[self.goal.name]


class Attempts:
    """Prepares one attempt after the other; each scene is compiled once. An attempt ends when the next is prepared."""

    def __init__(self, image_size: int = 32, robot: RobotDescription | None = None) -> None:
        """image_size: px of square pictures. Raises RobotError when the robot's assets are missing."""
        self._robot = RobotDescription.load(ROBOT) if robot is None else robot
        self._image_size = image_size
        self._expert = GoalExpert(self._robot)
        self._stages: dict[str, Stage] = {}

    def prepare(
        self,
        scene: str,
        kind: str | None,
        seed: int,
        expansion: Expansion = NOTHING,
        *,
        is_midway: bool = False,
        is_control: bool = False,
    ) -> Attempt:
        """The attempt of this seed at a goal of a kind, or of any that the scene offers; it is not achieved yet.

        is_midway: it is asked for after this or another goal was pursued for a while. is_control: the expert pursues
        another goal, so that the one that is asked for must not be achieved.
        Raises RegistryError for an unknown scene, AttemptError when it offers no such goal, in many layouts.
        """
        kinds = [each.kind for each in kinds_in(scene)]
        stage = self._stage(scene)
        physics = draw_physics(generator(seed, "physics")) if "physics" in expansion else NOMINAL
        reachability = generator(seed, "reachability") if "reachability" in expansion else None
        for number in range(LAYOUTS):
            rng = np.random.default_rng([seed, number, 11])
            wanted = kind if kind is not None else kinds[rng.integers(len(kinds))]
            goal = self._set_up(stage, wanted, rng, physics, reachability)
            if goal is None:
                continue
            if "visual" in expansion or "mounting" in expansion:
                stage.apply_looks(draw_for(generator(seed, "visual"), stage.layout, expansion))
            goals = goals_in(scene, stage.layout)
            if is_midway:
                self._go_on(stage, goals, goal, np.random.default_rng([seed, number, 12]))
            if is_control and stage.layout.changes:
                # Until then another goal may ask for nothing, as this one might.
                stage.advance(max(stage.time, stage.layout.changes[-1].at))
            left = _unachieved(stage, goals)
            pursued = _another(goal, left, seed) if is_control else goal
            if goal in left and pursued is not None:
                trouble = self._trouble(stage, seed) if "recovery" in expansion else None
                replans = 0 if trouble is None or is_control else REPLANS
                attempt = Attempt(stage, self._expert, goals, goal, trouble, replans)
                attempt.ask(goal, pursued)
                return attempt
        raise AttemptError(f"scene '{scene}' has no goal '{kind}' that is not achieved, in {LAYOUTS} layouts")

    def close(self) -> None:
        """Free the GL contexts, if pictures were drawn."""
        for stage in self._stages.values():
            stage.close()

    def _set_up(
        self,
        stage: Stage,
        kind: str,
        rng: np.random.Generator,
        physics: Physics,
        reachability: np.random.Generator | None,
    ) -> Goal | None:
        """An episode that starts, and a goal of this kind that is not achieved yet; None when it has none.

        reachability: what layout, goal and hands are drawn from in place of `rng`, evenly over how hands reach.
        """
        self._expert.start()
        if reachability is None:
            stage.set_up(stage.scene.draw(rng), rng, physics)
            choice = [
                goal for goal in _unachieved(stage, goals_in(stage.scene.name, stage.layout)) if goal.kind == kind
            ]
            return choice[rng.integers(len(choice))] if choice else None
        for start in self._reachability.starts(stage.scene.name, kind, reachability, physics.table_height):
            stage.set_up(start.layout, rng, physics)
            stage.put_arms(start.joints, start.widths)
            if not stage.arms_touch():
                return next(goal for goal in goals_in(stage.scene.name, stage.layout) if goal.name == start.goal)
        return None

    @cached_property
    def _reachability(self) -> Reachability:
        return Reachability(self._robot)

    def _go_on(self, stage: Stage, goals: Sequence[Goal], goal: Goal, rng: np.random.Generator) -> None:
        """Pursue the goal, or another one, under disturbance, for some time."""
        others = [other for other in goals if other != goal]
        if others and rng.random() < OTHER_GOAL_SHARE:
            goal = others[rng.integers(len(others))]
        steps = play(stage, self._expert, goal, stage.layout, disturb=Trouble(stage, self._expert, Disturbance(rng)))
        # The last step that is asked for does not take effect.
        for _ in itertools.islice(steps, round(rng.uniform(*MIDDLE_TIME) / ROW_DT) + 1):
            pass

    def _trouble(self, stage: Stage, seed: int) -> Trouble:
        rng = generator(seed, "recovery")
        bases = np.array([arm.base_position[:2] for arm in self._robot.arms])
        return Trouble(stage, self._expert, Disturbance(rng), Mishaps(rng, bases))

    def _stage(self, name: str) -> Stage:
        if name not in self._stages:
            self._stages[name] = Stage(scene_named(name), self._robot, self._image_size)
        return self._stages[name]


def _unachieved(stage: Stage, goals: Sequence[Goal]) -> list[Goal]:
    now = stage.situation()
    # What has to be held for seconds is not achieved by being so now.
    return [goal for goal in goals if goal.settling > 0.0 or not goal.is_achieved(now, now)]


def _another(goal: Goal, goals: Sequence[Goal], seed: int) -> Goal | None:
    """One of `goals` to be pursued in place of `goal`: of another kind, where there is one; None without any."""
    others = [other for other in goals if other.kind != goal.kind] or [other for other in goals if other != goal]
    return others[seed % len(others)] if others else None
