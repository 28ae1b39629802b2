"""From which similarity on a sentence counts as known: between wordings that no training saw and what nobody taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from clwm_common.robot.description import config_directory
from clwm_embodichain.episodes.choices import GoalChoice
from clwm_policy.model.known_sentences import KnownSentences
from clwm_sim.goals.base import Goal
from clwm_sim.registry import goals_in, scene_named
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.shipped_tasks import TASKS

LAYOUTS = 60  # of a scene, among which every colour occurs with every other


def unknown_sentences() -> tuple[str, ...]:
    """What no goal is about: one sentence a line of `config/unknown_sentences.txt`. Raises OSError."""
    lines = (config_directory() / "unknown_sentences.txt").read_text().splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def slot_values(choices: Sequence[GoalChoice]) -> dict[str, tuple[str, ...]]:
    """What each slot of these goals' sentences may name."""
    found: dict[str, set[str]] = {}
    for choice in choices:
        for goal in _drawn(choice):
            for slot, value in goal.slots.items():
                found.setdefault(slot, set()).add(value)
    return {slot: tuple(sorted(values)) for slot, values in sorted(found.items())}


def held_out_sentences(choices: Sequence[GoalChoice]) -> dict[str, tuple[str, ...]]:
    """The wordings of these goals that no training may see, by kind, each as one episode or another would fill it."""
    found = {}
    for choice in choices:
        if choice.scene == TABLE.name:
            found[choice.kind] = TASKS[choice.kind].held_out
        else:
            of_goals = [goal.sentences(held_out=True) for goal in _drawn(choice)]
            count = len(of_goals[0])
            found[choice.kind] = tuple(of_goals[index * len(of_goals) // count][index] for index in range(count))
    return found


def similarities(known: KnownSentences, sentences: Sequence[str]) -> list[float]:
    """Of each sentence to the one that is known and most like it."""
    return [known.nearest(sentence).similarity for sentence in sentences]


def best_limit(known: ArrayLike, unknown: ArrayLike) -> float:
    """Between the similarities (n,) of known sentences and those (m,) of unknown ones.

    Where the share of known ones above and of unknown ones below it is largest together; of several such places, in
    the middle of the widest.
    """
    known, unknown = np.asarray(known, dtype=np.float64), np.asarray(unknown, dtype=np.float64)
    places = np.unique(np.concatenate([known, unknown, [-1.0, 1.0]]))
    low, high = places[:-1], places[1:]
    middle = (low + high) / 2.0
    right = (known[:, None] >= middle).mean(axis=0) + (unknown[:, None] < middle).mean(axis=0)
    return float(middle[np.lexsort((high - low, np.round(right, 9)))[-1]])


def _drawn(choice: GoalChoice) -> Iterator[Goal]:
    """Goals of this kind in many layouts of its scene; none of the first tasks, whose sentences have no slots."""
    if choice.scene == TABLE.name:
        return
    scene = scene_named(choice.scene)
    for seed in range(LAYOUTS):
        for goal in goals_in(choice.scene, scene.draw(np.random.default_rng(seed))):
            if goal.kind == choice.kind:
                yield goal
