"""A situation one row time ahead if nothing unexpected happens: kinematics only, far cheaper than physics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, LEFT_QUATERNION, RIGHT_QUATERNION, ROW_DT
from clwm_sim.scenes.things import Grip, Layout, Thing
from clwm_sim.situation import Situation, State

GRIP_STEP = 0.1 * ROW_DT  # m of opening per row time
BETWEEN_FINGERS = 0.03  # m from a grip to the tool centre point
TOUCHES = 0.004  # m between opening and grip from which on it is held
SNAP_STEP = 0.3  # rad per row time that a lever turns by itself
BESIDE = 0.04  # m between two things' middles up to which one lies on the other


def next_situation(now: Situation, layout: Layout, row: NDArray, following: NDArray) -> Situation:
    """One row time after `now`, in which the command goes from row (30,) to `following` (30,).

    Hands track perfectly, grippers move at their speed, what is held moves along, what is let go settles.
    """
    tcp = np.array([following[0:3], following[7:10]], dtype=np.float64) - [0.0, 0.0, now.table_height]
    turns = [_yaw(following[part]) - _yaw(row[part]) for part in (LEFT_QUATERNION, RIGHT_QUATERNION)]
    told = np.asarray(following[GRIPPERS], dtype=np.float64)
    widths = now.widths + np.clip(told - now.widths, -GRIP_STEP, GRIP_STEP)
    objects = dict(now.objects)
    for name, state in now.objects.items():
        thing = layout.things[name]
        around = [(arm, grip) for arm in range(2) for grip in thing.grips if _is_around(state, grip, now.tcp[arm])]
        for arm, grip in around:
            widths[arm] = max(widths[arm], grip.width)
        holding = [(arm, grip) for arm, grip in around if widths[arm] < grip.width + TOUCHES]
        if thing.hinge is not None:
            objects[name] = _turned(thing, state, tcp - now.tcp, holding)
        elif holding:
            objects[name] = _carried(state, now.tcp, tcp, turns, [arm for arm, _ in holding])
        elif around and thing.moves == "free":
            objects[name] = _settled(now, layout, thing)
    return replace(now, objects=objects, tcp=tcp, widths=widths)


def _is_around(state: State, grip: Grip, tcp: NDArray) -> bool:
    return bool(np.linalg.norm(state.at(grip) - tcp) < BETWEEN_FINGERS)


def _carried(state: State, before: NDArray, after: NDArray, turns: list[float], arms: list[int]) -> State:
    """One hand takes a thing along and turns it; two hands carry it between them."""
    if len(set(arms)) > 1:
        return replace(state, position=state.position + (after - before).mean(axis=0))
    arm = arms[0]
    c, s = np.cos(turns[arm]), np.sin(turns[arm])
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return replace(state, position=after[arm] + turn @ (state.position - before[arm]), rotation=turn @ state.rotation)


def _turned(thing: Thing, state: State, moved: NDArray, holding: list[tuple[int, Grip]]) -> State:
    """A lever goes with the hand that holds it, or to the end that is nearer."""
    if holding:
        arm, grip = holding[0]
        lever = state.at(grip) + moved[arm] - state.position
        angle = float(np.arctan2(lever[2], np.hypot(lever[0], lever[1])))
    else:
        angle = state.angle + np.sign(state.angle) * SNAP_STEP
    angle = float(np.clip(angle, -thing.hinge.range, thing.hinge.range))
    c, s = np.cos(angle - state.angle), np.sin(angle - state.angle)
    about_y = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return replace(state, angle=angle, rotation=state.rotation @ about_y)


def _settled(now: Situation, layout: Layout, thing: Thing) -> State:
    """Down onto the table, or onto what lies there."""
    state = now.objects[thing.name]
    rest = thing.height
    for name, other in now.objects.items():
        below = layout.things[name]
        off = state.position - other.position
        if below is not thing and below.height > 0.0 and np.hypot(off[0], off[1]) < BESIDE and off[2] > below.height:
            rest = max(rest, float(other.position[2]) + below.height + thing.height)
    return replace(state, position=np.array([*state.position[:2], min(state.position[2], rest)]), speed=0.0)


def _yaw(quaternion: NDArray) -> float:
    x, y, z, w = quaternion
    return float(np.arctan2(2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z)))
