"""Passing a long thing from hand to hand in the air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.carrying import idle, let_go, put_down
from clwm_sim.experts.grasping import hand_yaw, held_thing, is_held, take
from clwm_sim.experts.motion import CLOSED, OPEN, Aim, View, above
from clwm_sim.scenes.things import Grip, Thing

MEETING = np.array([0.50, 0.0, 0.20])  # m, where the middle of the thing is when the other hand comes
ACROSS = np.pi / 2  # rad: of both hands' yaws that are alike, the one near which no joint comes to its end
_ASIDE = 0.22  # m from the meeting place, where a hand waits


def hand_over(view: View, thing: Thing, target: NDArray, giver: int) -> list[Aim | None]:
    """`giver` takes the thing at the end on its side and brings it to the middle, the other hand takes the other end,
    and brings it to `target` (3,); a thing that lies where the receiver alone gets at it is taken by the receiver.
    """
    receiver = 1 - giver
    state = view.now.objects[thing.name]
    ends = _ends(view, thing)
    held = [is_held(view, arm, thing, ends[arm]) for arm in range(2)]
    yaws = [hand_yaw(state, grip, ACROSS) for grip in ends]
    off = float(np.hypot(*(state.position[:2] - target[:2])))
    is_low = state.position[2] < target[2] + 0.006
    aims: list[Aim | None] = [None, None]
    if is_low and off < (0.03 if view.told[receiver] > 0.5 * OPEN else 0.012):
        aims[receiver] = let_go(view, receiver, state.at(ends[receiver]))
    elif all(held):
        aims[giver] = Aim(view.tcp[giver], yaws[giver], OPEN, noise=0.0)
        aims[receiver] = Aim(view.tcp[receiver], yaws[receiver], CLOSED, noise=0.0)
    elif held[receiver]:
        aims[giver] = _withdraw(view, giver, ends[giver], thing)
        if aims[giver] is None or _is_clear(view, giver, ends[giver], thing):
            aims[receiver] = _carry(view, receiver, thing, target)
        else:
            aims[receiver] = Aim(view.tcp[receiver], yaws[receiver], CLOSED, noise=0.0)
    elif held[giver]:
        aims[giver] = _carry(view, giver, thing, MEETING)
        aims[receiver] = _receive(view, receiver, thing, ends[receiver], yaws[receiver])
    elif _can_take(view, giver, ends[giver], thing) and not _is_beyond(view, receiver, thing):
        aims[giver] = _take(view, giver, thing, ends[giver], yaws[giver])
        aims[receiver] = _wait(view, receiver)
    else:
        aims[receiver] = _take(view, receiver, thing, ends[receiver], yaws[receiver])
    return [idle(view, arm) if aim is None else aim for arm, aim in enumerate(aims)]


def _ends(view: View, thing: Thing) -> list[Grip]:
    """For each arm the end on its side: which that is, the thing's direction tells."""
    state = view.now.objects[thing.name]
    return sorted(thing.grips, key=lambda grip: -state.at(grip)[1])


def _carry(view: View, arm: int, thing: Thing, target: NDArray) -> Aim:
    """The thing's middle to `target` and its direction across the table, high above the table on the way."""
    state, tcp = view.now.objects[thing.name], view.tcp[arm]
    here = state.position
    if target is MEETING:
        way = target if here[2] > 0.10 else np.array([*here[:2], target[2]])
    else:
        way = above(target, here, hover=0.10, inner=0.008, outer=0.04)
        if here[2] < 0.06 and np.hypot(*(here[:2] - target[:2])) > 0.04:
            way[:2] = here[:2]
    return Aim(tcp + way - here, ACROSS, CLOSED, speed=0.25, noise=0.0)


def _receive(view: View, arm: int, thing: Thing, end: Grip, yaw: float) -> Aim:
    state = view.now.objects[thing.name]
    if np.linalg.norm(state.position - MEETING) > 0.03 and view.told[arm] > 0.5 * OPEN:
        return _wait(view, arm)
    return _take(view, arm, thing, end, yaw)


def _take(view: View, arm: int, thing: Thing, end: Grip, yaw: float) -> Aim:
    if (wrong := held_thing(view, arm)) is not None and wrong[0] is not thing:
        return put_down(view, arm, *wrong)
    return take(view, arm, thing, end, yaw)


def _wait(view: View, arm: int) -> Aim:
    side = 1.0 if arm == 0 else -1.0
    return Aim(MEETING + [-0.05, side * _ASIDE, 0.12], ACROSS, OPEN, noise=0.5)


def _withdraw(view: View, arm: int, end: Grip, thing: Thing) -> Aim | None:
    """Straight up from the thing, then away to the side."""
    if _is_clear(view, arm, end, thing):
        return None
    if view.now.widths[arm] < end.width + 0.012:
        return Aim(view.tcp[arm], None, OPEN, noise=0.0)
    return Aim(view.tcp[arm] + [0.0, 0.0, 0.10], None, OPEN, speed=0.25, noise=0.0)


def _is_clear(view: View, arm: int, end: Grip, thing: Thing) -> bool:
    return bool(view.tcp[arm][2] > view.now.objects[thing.name].at(end)[2] + 0.07)


def _can_take(view: View, arm: int, end: Grip, thing: Thing) -> bool:
    return view.reaches(arm, view.now.objects[thing.name].at(end))


def _is_beyond(view: View, receiver: int, thing: Thing) -> bool:
    """Whether the thing lies on the receiver's side already."""
    side = 1.0 if receiver == 0 else -1.0
    return bool(side * view.now.objects[thing.name].position[1] > 0.05)
