"""Two levers of different colours on a panel across the table, each up or down."""

from __future__ import annotations

import numpy as np

from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.parts import colours
from clwm_sim.scenes.things import GREY, PALETTE, Grip, Hinge, Layout, Part, Thing

RANGE = np.radians(35.0)  # to either side of level
LENGTH = (0.080, 0.095)  # m
APART = (0.16, 0.20)  # m between the levers
PIVOT = (0.100, 0.120)  # m above the table
HUB = 0.015  # m from the pivot to where a lever can be touched
DAMPING = (0.01, 0.04)  # Nms/rad
SNAP = (0.15, 0.40)  # Nm/rad


def draw(rng: np.random.Generator) -> Layout:
    x, y, yaw = rng.uniform(0.52, 0.60), rng.uniform(-0.06, 0.06), np.radians(rng.uniform(-12.0, 12.0))
    height, apart = rng.uniform(*PIVOT), rng.uniform(*APART)
    half = (0.012, apart / 2.0 + 0.05, height / 2.0 + 0.008)
    grey = tuple(np.clip(np.array(GREY) + rng.uniform(-0.3, 0.3), 0.0, 1.0))
    board = Part("board", half, (half[0], 0.0, half[2]), colour=grey)
    panel = Thing("panel", "panel", (board,), (x, y, 0.0), yaw, moves="placed")
    levers = []
    for index, (side, colour) in enumerate(zip((1.0, -1.0), colours(rng, 2), strict=True)):
        across = np.array([-np.sin(yaw), np.cos(yaw)]) * side * apart / 2.0
        levers.append(_lever(rng, f"lever{index}", (x + across[0], y + across[1], height), yaw, colour))
    return Layout.of(panel, *levers)


def _lever(rng: np.random.Generator, name: str, pivot: tuple[float, float, float], yaw: float, colour: str) -> Thing:
    length, knob = rng.uniform(*LENGTH), rng.uniform(0.010, 0.013)
    half = (length - HUB) / 2.0
    parts = (
        # Only seen: where the lever goes into the panel the two would push each other away.
        Part("hub", (HUB, 0.010, 0.010), colour=PALETTE[colour], touches=False),
        Part("shaft", (half, 0.006, 0.006), (-HUB - half, 0.0, 0.0), colour=PALETTE[colour]),
        Part("knob", (0.014, knob, 0.014), (-length, 0.0, 0.0), colour=PALETTE[colour]),
    )
    up = 1.0 if rng.random() < 0.5 else -1.0
    return Thing(
        name=name,
        kind="lever",
        parts=parts,
        position=pivot,
        yaw=yaw,
        colour=colour,
        moves="hinged",
        mass=float(rng.uniform(0.04, 0.08)),
        grips=(Grip((-length, 0.0, 0.0), 2.0 * knob),),
        hinge=Hinge(RANGE, up * RANGE, float(rng.uniform(*SNAP)), float(rng.uniform(*DAMPING))),
    )


SCENE = Scene("switches", draw)
