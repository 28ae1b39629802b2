"""Draws things that no goal is about, and places for them where they are neither in the way nor hide anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from clwm_sim.looks.looks import DISTRACTORS, Distractor, Surface
from clwm_sim.scenes.things import Layout, Vector
from clwm_sim.scenes.workcell import HEAD_POSITION

PRESENCE = (0.5, 1.0)  # probability of each of them
REGION = ((0.22, 0.80), (-0.52, 0.52))  # m of table that the head camera sees
# m; all lower than the palm of a hand that grasps a block, 57 mm
RADIUS, HALF_LENGTH, LOW = (0.014, 0.027), (0.014, 0.027), 0.027
LYING_RADIUS, LYING_LENGTH = (0.010, 0.017), (0.02, 0.04)
HAND = 0.075  # m beside an object that open fingers take up
APART = 0.03  # m between two of them
HIDING = 0.015  # m by which what they hide from the head camera stays clear of objects
_TRIES = 40
_SHAPES = ("sphere", "ellipsoid", "cylinder", "capsule")


def draw_distractors(
    rng: np.random.Generator, layout: Layout, strength: float, surface: Callable[[], Surface]
) -> tuple[Distractor, ...]:
    """Up to four; one for which no place is found is left out."""
    standing: list[Distractor] = []
    needed = list(_needed(layout))
    for _ in range(rng.binomial(DISTRACTORS, min(PRESENCE[0] * strength, PRESENCE[1]))):
        shape = _SHAPES[rng.integers(len(_SHAPES))]
        size, looks = _size(rng, shape), surface()
        for _ in range(_TRIES):
            place = tuple(float(rng.uniform(*bounds)) for bounds in REGION)
            drawn = Distractor(shape, size, place, float(rng.uniform(0.0, 2.0 * np.pi)), looks)
            if _is_clear(drawn, needed, standing):
                standing.append(drawn)
                break
    return tuple(standing)


def _size(rng: np.random.Generator, shape: str) -> Vector:
    match shape:
        case "sphere":
            size = (rng.uniform(*RADIUS), 0.0, 0.0)
        case "ellipsoid":
            size = (rng.uniform(*RADIUS), 1.4 * rng.uniform(*RADIUS), min(rng.uniform(*RADIUS), LOW))
        case "cylinder":
            size = (rng.uniform(*RADIUS), rng.uniform(*HALF_LENGTH), 0.0)
        case _:
            size = (rng.uniform(*LYING_RADIUS), rng.uniform(*LYING_LENGTH), 0.0)
    first, second, third = (float(number) for number in size)
    return first, second, third


def _needed(layout: Layout) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Where goals have something, now or later: place (2,) and extent around it, m."""
    for thing in layout.things.values():
        if thing.present:
            yield np.array(thing.position[:2]), thing.extent
    for change in layout.changes:
        if change.place is not None:
            yield np.array(change.place), layout.things[change.name].extent


def _is_clear(drawn: Distractor, needed: list[tuple[NDArray[np.float64], float]], standing: list[Distractor]) -> bool:
    place = np.array(drawn.place)
    for other in standing:
        if np.linalg.norm(place - other.place) < drawn.extent + other.extent + APART:
            return False
    for there, extent in needed:
        if np.linalg.norm(place - there) < drawn.extent + extent + HAND:
            return False
        if _distance(there, place, hidden_to(drawn)) < drawn.extent + extent + HIDING:
            return False
    return True


def hidden_to(drawn: Distractor) -> NDArray[np.float64]:
    """How far behind a distractor the table is hidden from the head camera: the middle of what is hidden last (2,)."""
    camera = np.array(HEAD_POSITION)
    top = 2.0 * drawn.height
    away = np.array(drawn.place) - camera[:2]
    return np.array(drawn.place) + away * top / (camera[2] - top)


def _distance(point: NDArray, start: NDArray, end: NDArray) -> float:
    along = end - start
    share = np.clip(np.dot(point - start, along) / max(float(np.dot(along, along)), 1e-12), 0.0, 1.0)
    return float(np.linalg.norm(point - start - share * along))
