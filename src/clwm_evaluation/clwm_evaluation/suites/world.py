"""The world of a suite: any task under any condition, with what a report shows of an episode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clwm_evaluation.suites.conditions import NOMINAL_CONDITION
from clwm_evaluation.suites.failures import Course
from clwm_evaluation.suites.pictures import jpeg, strip
from clwm_sim.cameras import CAMERAS
from clwm_sim.goals.base import Goal
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.goals.lift_tray import LiftTray
from clwm_sim.physics import NOMINAL, Physics
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.scenes.things import Layout
from clwm_sim.shipped_tasks import TASKS
from clwm_sim.stage import Setpoint
from clwm_sim.world import World

_CHANGE, _TELL = 6, 7  # streams of an episode's random numbers


class SuiteWorld(World):
    """One for all episodes of a process: set `condition`, then reset to a task and a seed."""

    def __init__(self, task: str) -> None:
        """Raises as World does."""
        self.condition = NOMINAL_CONDITION
        self._table_scaled = {"mass": 1.0, "friction": 1.0}
        super().__init__(task)

    def set_up(self, layout: Layout, rng: np.random.Generator, physics: Physics = NOMINAL) -> None:
        if self.scene is TABLE:
            self._scale_table()
        super().set_up(self.condition.layout(layout), rng, self.condition.physics)

    def reset(self, seed: int, task: str | None = None) -> None:
        self._seen: list[NDArray[np.uint8]] = []
        self._course: Course | None = None
        super().reset(seed, task)
        self._given = self.goal
        if self.condition.told in ("keep still", "to act"):
            (still,) = KeepStill.offered(self.layout)
            self.goals = (*(goal for goal in self.goals if goal.name != still.name), still)
            self.ask(still)
        if self.condition.change is not None:
            self.condition.change(self, np.random.default_rng([seed, _CHANGE]))
        self._course = Course(self.goal, self.layout, self.situation())

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        def follow() -> None:
            if self._course is not None:
                self._course.look(self.situation())
            if look is not None:
                look()

        super().advance(until, setpoint, follow)

    def render(self, camera: str) -> NDArray[np.uint8]:
        picture = super().render(camera)
        if camera == CAMERAS[0]:
            self._seen.append(picture)
        return picture

    def instruction(self, seed: int) -> str:
        """What the policy is told in the episode of `seed`."""
        if self.condition.told == "held out":
            return _one_of(self.goal.sentences(held_out=True), seed)
        if self.condition.told == "to act":
            return _one_of(self._given.sentences(), seed)
        if self.condition.told == "another":
            return _one_of(self._of_another(seed), seed)
        return super().instruction(seed)

    def others_achieved(self) -> list[str]:
        """Goals besides the asked one that were achieved since it was asked; keeping still is none of them."""
        return [
            name
            for name, verdict in self.verdicts().items()
            if verdict == "achieved" and name not in (self.goal.name, KeepStill.kind)
        ]

    def reason(self, fault: str) -> str:
        """Why the episode failed; empty when it succeeded. fault: why the executor stopped, if it did."""
        if self.succeeded():
            return ""
        is_lost = self.verdicts()[self.goal.name] == "lost"
        return self._course.reason(is_lost, fault, self.others_achieved())

    def strip(self) -> bytes | None:
        """Pictures of the head camera from the episode's beginning to its end as a JPEG; None when none was taken."""
        return strip(self._seen)

    def first_picture(self) -> bytes | None:
        """What the head camera saw first, as a JPEG; None when it saw nothing."""
        return jpeg(self._seen[0]) if self._seen else None

    def _of_another(self, seed: int) -> tuple[str, ...]:
        """Sentences of another goal that can be seen, of another kind where there is one, or of another scene's."""
        if self.scene is TABLE:
            (other,) = (task for name, task in TASKS.items() if name in _OTHER_TASK and name != self.task.name)
            return other.instructions
        now = self.situation()
        others = [
            goal
            for goal in self.goals
            if goal.name != self.goal.name and not isinstance(goal, KeepStill) and not goal.is_achieved(now, now)
        ]
        of_another_kind: list[Goal] = [goal for goal in others if goal.kind != self.goal.kind]
        choice = of_another_kind or others
        return choice[seed % len(choice)].sentences() if choice else LiftTray.training

    def _scale_table(self) -> None:
        """The first tasks' objects are no part of a layout: their mass and friction are the model's own."""
        physics = self.condition.physics
        if physics.mass != self._table_scaled["mass"]:
            self.scale_masses(physics.mass / self._table_scaled["mass"])
        if physics.friction != self._table_scaled["friction"]:
            self._model.geom_friction[self._geoms, 0] *= physics.friction / self._table_scaled["friction"]
        self._table_scaled = {"mass": physics.mass, "friction": physics.friction}


_OTHER_TASK = ("lift_tray", "place_block")


def _one_of(sentences: tuple[str, ...], seed: int) -> str:
    return sentences[np.random.default_rng([seed, _TELL]).integers(len(sentences))]
