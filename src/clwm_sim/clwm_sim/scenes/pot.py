"""A pot with two handles, of any size, height, form and colour; loops of bars, or fins, at the rim."""

from __future__ import annotations

import numpy as np

from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.parts import FRICTION
from clwm_sim.scenes.things import Grip, Layout, Part, Thing

HALF_WIDTH = (0.055, 0.075)  # m
HEIGHT = (0.09, 0.145)
MASS = (0.4, 1.3)  # kg
WALL = 0.005  # m, half
MAX_YAW = np.radians(30.0)
ROUND_WALLS = 8
FIN_AWAY = 0.055  # m from the wall


def draw(rng: np.random.Generator) -> Layout:
    half, height = rng.uniform(*HALF_WIDTH), rng.uniform(*HEIGHT)
    body, left, right = (tuple(rng.uniform(0.05, 0.95, 3)) for _ in range(3))
    is_round, has_loops = rng.random() < 0.5, rng.random() < 0.6
    radius, length, width = rng.uniform(0.007, 0.011), rng.uniform(0.06, 0.09), rng.uniform(0.07, 0.10)
    parts = _body(half, height, is_round, body)
    grips = []
    for side, sign, colour in (("left", 1.0, left), ("right", -1.0, right)):
        parts += _loop(side, sign, half, height, (radius, length, width), has_loops, colour)
        parts += _fin(side, sign, half, height, radius, not has_loops, colour)
        across = half + (length if has_loops else FIN_AWAY)
        grips.append(Grip((0.0, sign * across, height - radius), 2.0 * radius))
    pot = Thing(
        name="pot",
        kind="pot",
        parts=tuple(parts),
        position=(0.48 + rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), 0.0),
        yaw=float(rng.uniform(-MAX_YAW, MAX_YAW)),
        mass=float(rng.uniform(*MASS)),
        friction=float(rng.uniform(*FRICTION)),
        grips=tuple(grips),
    )
    return Layout.of(pot)


def _body(half: float, height: float, is_round: bool, colour: tuple) -> list[Part]:
    """A bottom and walls around it, four or eight of them."""
    parts = [
        Part("floor", (half, half, WALL), (0.0, 0.0, WALL), colour=colour, present=not is_round),
        Part("disc", (half, WALL, 0.0), (0.0, 0.0, WALL), shape="cylinder", colour=colour, present=is_round),
    ]
    walls = ROUND_WALLS if is_round else 4
    along = (half - WALL) * np.tan(np.pi / walls) + WALL
    for index in range(ROUND_WALLS):
        angle = 2.0 * np.pi * index / walls
        away = half - WALL
        place = (away * np.cos(angle), away * np.sin(angle), height / 2.0)
        size = (WALL, along, height / 2.0)
        parts.append(Part(f"wall{index}", size, place, angle, colour=colour, present=index < walls))
    return parts


def _loop(side: str, sign: float, half: float, height: float, sizes: tuple, present: bool, colour: tuple) -> list[Part]:
    """A level loop at the rim: two bars outwards, and one across, which the hand takes."""
    radius, length, width = sizes
    z = height - radius
    looks = {"colour": colour, "present": present}
    bars = [Part(f"{side}_bar", (width / 2.0 + radius, radius, radius), (0.0, sign * (half + length), z), **looks)]
    for name, end in (("near", -1.0), ("far", 1.0)):
        place = (end * width / 2.0, sign * (half + length / 2.0), z)
        bars.append(Part(f"{side}_{name}_bar", (radius, length / 2.0, radius), place, **looks))
    return bars


def _fin(side: str, sign: float, half: float, height: float, radius: float, present: bool, colour: tuple) -> list[Part]:
    """A plate that stands on a short arm beside the pot, as the tray's handles do."""
    looks = {"colour": colour, "present": present}
    arm = (0.012, FIN_AWAY / 2.0, 0.006)
    return [
        Part(f"{side}_fin", (0.035, radius, 0.022), (0.0, sign * (half + FIN_AWAY), height - 0.012), **looks),
        Part(f"{side}_arm", arm, (0.0, sign * (half + FIN_AWAY / 2.0), height - 0.025), **looks),
    ]


SCENE = Scene("pot", draw)
