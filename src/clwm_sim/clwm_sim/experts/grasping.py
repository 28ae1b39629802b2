"""Taking things: approach, close, and knowing by distance and opening whether something is between the fingers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.motion import CLOSED, HOVER, OPEN, Aim, View, above
from clwm_sim.scenes.things import Grip, Thing
from clwm_sim.situation import State

AT_GRASP = 0.009  # m from the grasp point within which fingers close
AROUND = 0.045  # m between a hand and a grip that its fingers may touch
LOST_GRASP = 0.035  # m beyond which closed fingers have missed
STUCK = 0.045  # m that a hand lacks to where it is told to be, more than it ever is behind
BLOCKED = 0.015  # m that a hand which rests lacks to where it is told to be, because something is in its way


def is_held(view: View, arm: int, thing: Thing, grip: Grip) -> bool:
    """Whether the arm's fingers have closed on the thing there."""
    if not _is_told_to_hold(view, arm) or thing.name not in view.now.objects:
        return False
    away = np.linalg.norm(view.now.objects[thing.name].at(grip) - view.now.tcp[arm])
    return bool(away < LOST_GRASP and 0.5 * grip.width < view.now.widths[arm] < grip.width + 0.004)


def held_thing(view: View, arm: int) -> tuple[Thing, Grip] | None:
    """What the arm holds, and where."""
    for thing in view.layout.things.values():
        for grip in thing.grips:
            if is_held(view, arm, thing, grip):
                return thing, grip
    return None


def hand_yaw(state: State, grip: Grip, middle: float = 0.0) -> float:
    """The hand's yaw for a grip, rad, of those that are alike the nearest to `middle`."""
    # A cube that rolled over has its x axis upright: any of its level axes will do.
    axis = int(np.argmax(np.hypot(*state.rotation[:2, :2]))) if grip.symmetry < 2.0 else 0
    yaw = float(np.arctan2(state.rotation[1, axis], state.rotation[0, axis])) + grip.turn
    return middle + (yaw - middle + grip.symmetry / 2) % grip.symmetry - grip.symmetry / 2


def leave(view: View, arm: int, wanted: Thing | None = None) -> Aim | None:
    """Open, then straight up, where the open hand is around another thing than the wanted one; None elsewhere."""
    if _is_told_to_hold(view, arm):
        return None
    tcp = view.tcp[arm]
    places = [] if wanted is None else [view.now.objects[wanted.name].at(grip) for grip in wanted.grips]
    for thing in view.layout.things.values():
        if thing is wanted or thing.name not in view.now.objects:
            continue
        for grip in thing.grips:
            point = view.now.objects[thing.name].at(grip)
            is_around = np.hypot(*(tcp - point)[:2]) < AROUND and -0.03 < tcp[2] - point[2] < 0.05
            # What the wanted thing stands on is around the same place, and in nobody's way.
            if is_around and not any(np.hypot(*(place - point)[:2]) < AROUND for place in places):
                is_blocked = np.linalg.norm(view.now.tcp[arm] - tcp) > BLOCKED
                if view.now.widths[arm] < 0.9 * OPEN and not is_blocked:
                    return Aim(tcp, None, OPEN, noise=0.0)
                return Aim(tcp + [0.0, 0.0, 0.08], None, OPEN, speed=0.25, noise=0.0)
    return None


def take(view: View, arm: int, thing: Thing, grip: Grip, yaw: float) -> Aim:
    """Approach the grip from above and close there; open again where the fingers have missed, and rise first where
    they stand on something.
    """
    if (away_first := leave(view, arm, thing)) is not None:
        return away_first
    point: NDArray = view.now.objects[thing.name].at(grip)
    tcp, width = view.tcp[arm], float(view.now.widths[arm])
    away = float(np.linalg.norm(point - tcp))
    over = above(point, tcp, off_turn=view.off_turn(arm, yaw))
    if np.linalg.norm(view.now.tcp[arm] - tcp) > STUCK:
        return Aim(tcp + [0.0, 0.0, HOVER], yaw, OPEN, noise=0.0)
    if not _is_told_to_hold(view, arm) and away > AT_GRASP:
        noise = float(np.clip((away - 0.03) / 0.08, 0.15, 1.0))
        return Aim(over, yaw, OPEN, noise=noise)
    if _is_told_to_hold(view, arm) and not is_held(view, arm, thing, grip):
        if np.linalg.norm(view.now.tcp[arm] - tcp) > BLOCKED:
            return Aim(tcp + [0.0, 0.0, HOVER], yaw, OPEN, noise=0.0)
        if away > LOST_GRASP or width < 0.5 * grip.width:
            return Aim(over, yaw, OPEN, noise=0.0)
    return Aim(tcp, yaw, CLOSED, noise=0.0)


def _is_told_to_hold(view: View, arm: int) -> bool:
    return bool(view.told[arm] < 0.5 * OPEN)
