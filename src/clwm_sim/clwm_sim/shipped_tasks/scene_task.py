"""Any scene as a task: one of its goals is drawn for every episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clwm_sim.goals.base import Goal
from clwm_sim.registry import goals_in, kinds_in, scene_named, scenes
from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.things import Layout
from clwm_sim.shipped_tasks.base import UnknownTask
from clwm_sim.situation import Situation


@dataclass(frozen=True)
class SceneTask:
    """kind: of the goals that are asked for; all of the scene's when None."""

    name: str
    scene: Scene
    kind: str | None

    @classmethod
    def named(cls, name: str) -> SceneTask:
        """`blocks`, or `blocks:stack` for one kind of its goals. Raises UnknownTask for a kind that it does not offer.

        Raises RegistryError for an unknown scene.
        """
        base, colon, kind = name.partition(":")
        kinds = [offered.kind for offered in kinds_in(base)]
        if colon and kind not in kinds:
            raise UnknownTask(f"goal '{kind}' is not offered in scene '{base}'; expected one of {', '.join(kinds)}")
        return cls(name, scene_named(base), kind if colon else None)

    @staticmethod
    def is_one(name: str) -> bool:
        """Whether the name begins with that of a scene."""
        return name.partition(":")[0] in scenes()

    def layout(self, rng: np.random.Generator) -> Layout:
        return self.scene.draw(rng)

    def goals(self, layout: Layout) -> tuple[Goal, ...]:
        """All of the scene's: they are all judged."""
        return goals_in(self.scene.name, layout)

    def asked(self, goals: tuple[Goal, ...], now: Situation, seed: int) -> Goal:
        """One that is not achieved already, all kinds alike often."""
        rng = np.random.default_rng([seed, 6])
        kinds = [self.kind] if self.kind else sorted({goal.kind for goal in goals})
        kind = kinds[rng.integers(len(kinds))]
        own = [goal for goal in goals if goal.kind == kind]
        # What has to be held for seconds is not achieved by being so now.
        left = [goal for goal in own if goal.settling > 0.0 or not goal.is_achieved(now, now)] or own
        return left[rng.integers(len(left))]
