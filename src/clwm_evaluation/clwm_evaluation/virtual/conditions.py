"""What an evaluation may change besides the seed: what the policy is told, how things look, what they weigh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clwm_sim.shipped_tasks import task_named
from clwm_sim.world import World

KEEP_STILL = "stop, do nothing and keep both arms still"
_STREAM = 6  # of the random numbers of an episode; placing and the sentence have streams of their own


@dataclass(frozen=True)
class Condition:
    """One change of the world that a policy is evaluated in.

    meaning: a few words for a table. change: called after every reset, with a generator of the episode's own.
    tell: the sentence to give in place of the task's, from the task's name and a choice; None for the task's own.
    weight: factor on the mass of tray and block. forgets: the policy's memory is emptied before every chunk.
    """

    meaning: str
    change: Callable[[World, np.random.Generator], None] | None = None
    tell: Callable[[str, int], str] | None = None
    weight: float = 1.0
    forgets: bool = False


def _other_task(task: str, choice: int) -> str:
    sentences = task_named("place_block" if task == "lift_tray" else "lift_tray").instructions
    return sentences[choice % len(sentences)]


CONDITIONS = {
    "none": Condition("as trained: nominal looks, the task's own sentence"),
    "other-task": Condition("told a sentence of the other task", tell=_other_task),
    "keep-still": Condition(f'told "{KEEP_STILL}"', tell=lambda task, choice: KEEP_STILL),
    "training-looks": Condition(
        "looks and cameras drawn as in training", change=lambda world, rng: world.randomise_appearance(rng)
    ),
    "strong-looks": Condition(
        "colours and light drawn with 2.5 times the training's spread",
        change=lambda world, rng: world.randomise_appearance(rng, strength=2.5, camera_jitter=0.0),
    ),
    "random-colours": Condition(
        "objects, table and floor in random colours", change=lambda world, rng: world.recolour(rng)
    ),
    "cameras-off": Condition(
        "cameras off by up to 2.4 cm and 3 degrees about each axis",
        change=lambda world, rng: world.randomise_appearance(rng, strength=0.0, camera_jitter=3.0),
    ),
    "heavy": Condition("objects of 3 times the mass", weight=3.0),
    "no-memory": Condition("memory emptied before every chunk", forgets=True),
}


class ConditionedWorld(World):
    """A world of `task` in which every episode is under `condition`. Raises as World does."""

    def __init__(self, task: str, condition: Condition) -> None:
        self._condition = condition
        super().__init__(task)
        if condition.weight != 1.0:
            self.scale_masses(condition.weight)

    def reset(self, seed: int, task: str | None = None) -> None:
        super().reset(seed, task)
        if self._condition.change is not None:
            self._condition.change(self, np.random.default_rng([seed, _STREAM]))

    def instruction(self, seed: int) -> str:
        """What the policy is told in the episode of `seed`."""
        if self._condition.tell is None:
            return super().instruction(seed)
        return self._condition.tell(self.task.name, seed)
