"""The table of the first tasks: a tray, a block and a pad of which each task uses some, always of the same looks.

What was trained on it relies on its exact pictures and physics. Lengths in m, masses in kg.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import mujoco

from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.fitting import put
from clwm_sim.scenes.things import Grip, Layout, Part, Thing
from clwm_sim.scenes.workcell import SIDES

TRAY_HALF = (0.09, 0.13, 0.004)
HANDLE_HALF = (0.04, 0.008, 0.0335)
HANDLE_Y = 0.13
GRASP_HEIGHT = 0.056  # of the handle's grasp point above the tray's underside
BLOCK_HALF = 0.0225
PAD_HALF = 0.05

# Objects that the present task does not use wait here, under the table, weightless and out of every camera's sight.
PARKED = {"tray": (0.0, 0.0, -2.0), "block": (0.0, 0.6, -2.0), "pad": (0.0, 1.2, -2.0)}
HEAD_FOVY = 33.0  # deg

COLOURS = {
    "tray": (0.10, 0.22, 0.92, 1.0),
    "left_handle": (1.00, 0.85, 0.00, 1.0),
    "right_handle": (0.05, 0.80, 0.15, 1.0),
    "block": (0.95, 0.05, 0.05, 1.0),
    "pad": (0.00, 0.80, 0.90, 1.0),
}


def layout(
    tray: tuple[float, float, float] | None = None,
    block: tuple[float, float, float] | None = None,
    pad: tuple[float, float, float] | None = None,
) -> Layout:
    """Objects at (x, y, yaw); those left out are not there."""
    handles = tuple(Grip((0.0, sign * HANDLE_Y, GRASP_HEIGHT), 2.0 * HANDLE_HALF[1]) for sign in (1.0, -1.0))
    cube = (Grip((0.0, 0.0, 0.0), 2.0 * BLOCK_HALF, symmetry=math.pi / 2.0),)
    return Layout.of(
        _thing("tray", tray, Part("tray", TRAY_HALF), grips=handles),
        _thing("block", block, Part("block", (BLOCK_HALF,) * 3), grips=cube, height=BLOCK_HALF),
        _thing("pad", pad, Part("pad", (PAD_HALF, PAD_HALF, 0.001)), moves="placed"),
    )


def _thing(name: str, place: tuple[float, float, float] | None, part: Part, **others: Any) -> Thing:
    x, y, yaw = place or (0.0, 0.0, 0.0)
    others |= {"present": place is not None, "parking": PARKED[name]}
    return Thing(name, name, (part,), (x, y, others.get("height", 0.0)), yaw, **others)


def _fit(model: mujoco.MjModel, data: mujoco.MjData, things: Iterable[Thing]) -> None:
    mujoco.mj_resetData(model, data)
    for thing in things:
        put(model, data, thing)


def _add(spec: mujoco.MjSpec, _: Iterable[Thing]) -> None:
    world = spec.worldbody
    box = mujoco.mjtGeom.mjGEOM_BOX
    touch = {"type": box, "condim": 4, "friction": [1.0, 0.01, 0.0001], "group": 0}

    # The body's origin is the middle of the tray's underside.
    tray = world.add_body(name="tray", pos=PARKED["tray"])
    tray.add_freejoint(name="tray")
    tray.add_geom(name="tray", size=list(TRAY_HALF), pos=[0, 0, TRAY_HALF[2]], mass=0.25, rgba=COLOURS["tray"], **touch)
    for name, x in (("tray_near_rim", -1.0), ("tray_far_rim", 1.0)):
        tray.add_geom(
            name=name,
            size=[0.004, TRAY_HALF[1], 0.010],
            pos=[x * (TRAY_HALF[0] - 0.004), 0, 0.018],
            mass=0.03,
            rgba=COLOURS["tray"],
            **touch,
        )
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        tray.add_geom(
            name=f"{side}_handle",
            size=list(HANDLE_HALF),
            pos=[0, sign * HANDLE_Y, 0.008 + HANDLE_HALF[2]],
            mass=0.05,
            rgba=COLOURS[f"{side}_handle"],
            **touch,
        )

    block = world.add_body(name="block", pos=PARKED["block"])
    block.add_freejoint(name="block")
    block.add_geom(name="block", size=[BLOCK_HALF] * 3, mass=0.08, rgba=COLOURS["block"], **touch)

    # A coloured mark, not a step: the block rests on the table through it.
    pad = world.add_body(name="pad", pos=PARKED["pad"], mocap=True)
    pad.add_geom(
        name="pad",
        type=box,
        size=[PAD_HALF, PAD_HALF, 0.001],
        pos=[0, 0, 0.001],
        rgba=COLOURS["pad"],
        contype=0,
        conaffinity=0,
    )


TABLE = Scene("table", lambda _: layout(), HEAD_FOVY, _add, _fit)
