"""A tray with two handles, and a block beside it on either side."""

from __future__ import annotations

import numpy as np

from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.parts import FRICTION, block, colours
from clwm_sim.scenes.things import Grip, Layout, Part, Thing

HANDLE_Y = 0.13  # m
GRASP = 0.056  # m of a handle's grasp point above the tray's underside
_MASS = (0.3, 0.7)  # kg


def draw(rng: np.random.Generator) -> Layout:
    tray = _tray(rng)
    side = 1.0 if rng.random() < 0.5 else -1.0
    # Beyond the handle and the open fingers around it.
    y = tray.position[1] + side * (0.225 + rng.uniform(0.0, 0.04))
    (colour,) = colours(rng, 1)
    return Layout.of(tray, block(rng, "block0", (rng.uniform(0.40, 0.56), y), colour))


def _tray(rng: np.random.Generator) -> Thing:
    x, y, thickness = 0.09, 0.13, 0.004
    fin = (float(rng.uniform(0.032, 0.045)), float(rng.uniform(0.007, 0.009)), 0.0335)
    body, left, right = (tuple(rng.uniform(0.05, 0.95, 3)) for _ in range(3))
    parts = [Part("plate", (x, y, thickness), (0.0, 0.0, thickness), colour=body)]
    for name, sign in (("near_rim", -1.0), ("far_rim", 1.0)):
        parts.append(Part(name, (0.004, y, 0.010), (sign * (x - 0.004), 0.0, 0.018), colour=body))
    for name, sign, colour in (("left_handle", 1.0, left), ("right_handle", -1.0, right)):
        parts.append(Part(name, fin, (0.0, sign * HANDLE_Y, 0.008 + fin[2]), colour=colour))
    return Thing(
        name="tray",
        kind="tray",
        parts=tuple(parts),
        position=(0.48 + rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), 0.0),
        yaw=float(np.radians(rng.uniform(-15.0, 15.0))),
        mass=float(rng.uniform(*_MASS)),
        friction=float(rng.uniform(*FRICTION)),
        grips=tuple(Grip((0.0, sign * HANDLE_Y, GRASP), 2.0 * fin[1]) for sign in (1.0, -1.0)),
    )


SCENE = Scene("tray", draw)
