"""Objects that several scenes use: blocks, pads, and the ranges in which they vary."""

from __future__ import annotations

import numpy as np

from clwm_sim.scenes.things import PALETTE, Grip, Part, Thing

BLOCK_SIDE = (0.036, 0.050)  # m
BLOCK_MASS = (0.04, 0.20)  # kg
FRICTION = (0.6, 1.2)  # sliding; the fingers' pads have 1, and the larger one counts
PAD_HALF = 0.045


def colours(rng: np.random.Generator, number: int) -> list[str]:
    """Names of different colours."""
    return [str(name) for name in rng.choice(list(PALETTE), number, replace=False)]


def block(rng: np.random.Generator, name: str, place: tuple[float, float], colour: str) -> Thing:
    """A cube of any size, weight and friction, turned by up to 45 degrees."""
    half = float(rng.uniform(*BLOCK_SIDE)) / 2.0
    return Thing(
        name=name,
        kind="block",
        parts=(Part("cube", (half, half, half), colour=PALETTE[colour]),),
        position=(float(place[0]), float(place[1]), half),
        yaw=float(rng.uniform(-np.pi / 4, np.pi / 4)),
        colour=colour,
        mass=float(rng.uniform(*BLOCK_MASS)),
        friction=float(rng.uniform(*FRICTION)),
        grips=(Grip((0.0, 0.0, 0.0), 2.0 * half, symmetry=np.pi / 2),),
        height=half,
    )


def pad(name: str, place: tuple[float, float], colour: str, half: tuple[float, float] = (PAD_HALF, PAD_HALF)) -> Thing:
    """A coloured mark, not a step: what is put on it rests on the table through it."""
    mark = Part("mark", (*half, 0.001), position=(0.0, 0.0, 0.001), colour=PALETTE[colour], touches=False)
    return Thing(name, "pad", (mark,), (float(place[0]), float(place[1]), 0.0), colour=colour, moves="placed")
