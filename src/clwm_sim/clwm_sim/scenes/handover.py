"""A long block where one arm alone reaches, and a pad where only the other does."""

from __future__ import annotations

import numpy as np

from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.parts import BLOCK_MASS, FRICTION, colours, pad
from clwm_sim.scenes.things import PALETTE, Grip, Layout, Part, Thing

LENGTH = (0.145, 0.155)  # m
THICKNESS = (0.034, 0.042)
OUT_OF_REACH = 0.815  # m from the other arm's base, which gets no further than 0.80 with its fingers down
_BASE_Y = 0.3  # m of either arm's base
_GRIP_FROM_END = 0.018


def draw(rng: np.random.Generator) -> Layout:
    side = 1.0 if rng.random() < 0.5 else -1.0
    colour, mark = colours(rng, 2)
    bar = _bar(rng, side, colour)
    x, y = _beyond(rng, 0.0)
    return Layout.of(bar, pad("pad0", (x, -side * y), mark, (0.045, 0.085)))


def _beyond(rng: np.random.Generator, inwards: float) -> tuple[float, float]:
    """(x, distance to the side) such that even what is `inwards` m nearer to the middle is out of the other's reach."""
    x = rng.uniform(0.67, 0.70)
    return float(x), float(np.sqrt(OUT_OF_REACH**2 - x**2) - _BASE_Y + inwards + rng.uniform(0.0, 0.015))


def _bar(rng: np.random.Generator, side: float, colour: str) -> Thing:
    half, thick = rng.uniform(*LENGTH) / 2.0, rng.uniform(*THICKNESS) / 2.0
    reach = half - _GRIP_FROM_END
    x, y = _beyond(rng, reach)
    return Thing(
        name="bar",
        kind="bar",
        parts=(Part("bar", (half, thick, thick), colour=PALETTE[colour]),),
        position=(x, side * y, thick),
        yaw=float(np.pi / 2 + np.radians(rng.uniform(-8.0, 8.0))),
        colour=colour,
        mass=float(rng.uniform(*BLOCK_MASS)),
        friction=float(rng.uniform(*FRICTION)),
        grips=tuple(Grip((end * reach, 0.0, 0.0), 2.0 * thick) for end in (1.0, -1.0)),
        height=thick,
    )


SCENE = Scene("handover", draw)
