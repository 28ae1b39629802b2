"""What a scene is: objects, and how they lie in an episode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.fitting import add_things, fit
from clwm_sim.scenes.things import Layout, Thing

# Wide enough for what lies on both sides where one arm alone reaches; a block of 4 cm is 7 of 128 pixels wide.
HEAD_FOVY = 44.0


@dataclass(frozen=True)
class Scene:
    """draw: an episode's layout; the same objects with the same parts every time, so that one model serves all.

    head_fovy: the head camera's field of view, deg. add: puts the objects into a model to be compiled; fit: gives
    them a layout's sizes and places, and resets the rest.
    """

    name: str
    draw: Callable[[np.random.Generator], Layout]
    head_fovy: float = HEAD_FOVY
    add: Callable[[mujoco.MjSpec, Iterable[Thing]], None] = add_things
    fit: Callable[[mujoco.MjModel, mujoco.MjData, Iterable[Thing]], None] = fit


def spread(
    rng: np.random.Generator, boxes: list[tuple[tuple[float, float], tuple[float, float]]], apart: float
) -> NDArray[np.float64]:
    """Places (n, 2), each uniform in its box ((x, x), (y, y)), no two nearer than `apart` m.

    Raises ValueError where the boxes are too crowded for that.
    """
    for _ in range(10_000):
        low, high = np.array([[[x[0], y[0]], [x[1], y[1]]] for x, y in boxes]).transpose(1, 0, 2)
        places = rng.uniform(low, high)
        away = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        if (away + np.eye(len(places)) > apart).all():
            return places
    raise ValueError(f"{len(boxes)} places {apart} m apart do not fit into their boxes; widen the boxes")
