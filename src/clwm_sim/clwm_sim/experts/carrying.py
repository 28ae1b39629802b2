"""Moving a thing with one hand to where it shall rest, and putting down what is not wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.grasping import hand_yaw, held_thing, is_held, leave, take
from clwm_sim.experts.motion import CLOSED, OPEN, Aim, View, above
from clwm_sim.scenes.things import Grip, Thing

CARRY = 0.085  # m under a carried thing: more than anything is high that it may pass
CLEAR = 0.095  # m between the middles of two things on the table that a hand can still tell apart
NEARBY = 0.12  # m
ACROSS, ASIDE = 0.12, 0.34  # m beyond the middle line, and to its own side, up to which an arm puts things down
SLACK = 0.01  # m
SAFE_HEIGHT = 0.20  # m of a tool centre point over everything that lies on the table
_MARGIN = 0.22  # m between a hand's goal and the other hand below which it waits


def choose_arm(view: View, thing: Thing, target: NDArray) -> int:
    """Which arm shall bring the thing to `target` (3,): who holds it, or who is nearer and reaches both."""
    here = view.now.objects[thing.name].position
    costs = []
    for arm in range(2):
        if any(is_held(view, arm, thing, grip) for grip in thing.grips):
            return arm
        cost = abs(float(here[1] - view.bases[arm][1]))
        # A hand that is at it already goes on, even where a push makes the other the nearer one.
        cost -= 0.15 * bool(np.linalg.norm(view.tcp[arm] - here) < NEARBY)
        cost += 10.0 * (not view.reaches(arm, here)) + 5.0 * (not view.reaches(arm, target))
        costs.append(cost)
    return int(np.argmin(costs))


def move(view: View, arm: int, thing: Thing, target: NDArray, close: float = 0.010, done: float = 0.025) -> Aim:
    """Take the thing and set it down with its origin at `target` (3,), to within `close` m; then rise.

    done: m within which it may stay when it is let go already.
    """
    if (wrong := held_thing(view, arm)) is not None and wrong[0] is not thing:
        return put_down(view, arm, *wrong)
    grip = thing.grips[0]
    state = view.now.objects[thing.name]
    here = state.position
    off = float(np.hypot(*(here[:2] - target[:2])))
    is_low = here[2] < target[2] + 0.006
    yaw = hand_yaw(state, grip)
    released = view.told[arm] > 0.5 * OPEN
    if is_low and off < (done if released else close):
        return let_go(view, arm, here)
    if not is_held(view, arm, thing, grip):
        return take(view, arm, thing, grip, yaw)
    return carry(view, arm, thing, target, yaw)


def carry(view: View, arm: int, thing: Thing, target: NDArray, yaw: float) -> Aim:
    """With the thing in hand: high over the target, then down; the hand moves by what the thing lacks."""
    here, tcp = view.now.objects[thing.name].position, view.tcp[arm]
    off = float(np.hypot(*(here[:2] - target[:2])))
    lift = max(CARRY + thing.height - float(target[2]), 0.05)
    way = above(target, here, hover=lift, inner=0.006, outer=0.03)
    low = thing.height if off > 0.03 else float(target[2])
    risen = (here[2] - low) / (CARRY + thing.height - low)
    clearance = float(np.clip((risen - 0.5) / 0.4, 0.0, 1.0))
    step = way - here
    if off > 0.03:
        step[:2] *= clearance
    calm = off > 0.05 and clearance > 0.9
    return Aim(tcp + step, yaw, CLOSED, speed=0.28, noise=0.3 if calm else 0.0)


def let_go(view: View, arm: int, grip: NDArray) -> Aim:
    """Open where the hand is, when that is at the grip (3,), then rise straight up."""
    tcp = view.tcp[arm]
    if np.linalg.norm(tcp - grip) < 0.04 and view.now.widths[arm] < 0.9 * OPEN:
        return Aim(tcp, None, OPEN, noise=0.0)
    return Aim(np.array([*tcp[:2], SAFE_HEIGHT]), None, OPEN, speed=0.25, noise=0.3)


def put_down(view: View, arm: int, thing: Thing, grip: Grip) -> Aim:
    """Bring what the arm holds to a free place nearby and let go of it; what needs two hands goes straight down."""
    state = view.now.objects[thing.name]
    if len(thing.grips) > 1 or thing.moves != "free":
        if thing.moves == "free" and state.position[2] > thing.height + 0.008:
            return Aim(view.tcp[arm] - [0.0, 0.0, 0.05], None, CLOSED, speed=0.12, noise=0.0)
        return Aim(view.tcp[arm], None, OPEN, noise=0.0)
    target = free_place(view, arm, thing)
    if np.hypot(*(state.position[:2] - target[:2])) < 0.012 and state.position[2] < target[2] + 0.006:
        return Aim(view.tcp[arm], None, OPEN, noise=0.0)
    return carry(view, arm, thing, target, hand_yaw(state, grip))


def free_place(view: View, arm: int, thing: Thing) -> NDArray[np.float64]:
    """A place on the arm's own side for the thing, (3,) m of its origin: the nearest one clear of all others."""
    here = view.now.objects[thing.name].position
    others = [
        (state.position[:2], max(CLEAR, 0.05 + view.layout.things[name].extent))
        for name, state in view.now.objects.items()
        if name != thing.name
    ]
    others += [(obstacle.place, 0.05 + obstacle.extent) for obstacle in view.now.obstacles]
    home = view.bases[arm] * [0.0, 0.5] + [0.46, 0.0]
    for radius in np.arange(0.0, 0.40, 0.03):
        angles = np.arange(0.0, 2.0 * np.pi, 0.03 / max(radius, 0.03))
        spots = here[:2] + radius * np.column_stack([np.cos(angles), np.sin(angles)])
        # Further inside than it must be where it lies already: it would be moved on from the very edge.
        slack = SLACK * (radius > 0.0)
        inwards = spots[:, 1] * np.sign(view.bases[arm][1])
        inside = (spots[:, 0] > 0.34 + slack) & (spots[:, 0] < 0.64 - slack)
        inside &= (inwards > slack - ACROSS) & (inwards < ASIDE - slack)
        inside &= np.hypot(*(spots - view.bases[arm]).T) < 0.72 - slack
        for other, away in others:
            inside &= np.hypot(*(spots - other).T) > away + slack
        if inside.any():
            nearest = spots[inside][np.argmin(np.hypot(*(spots[inside] - home).T))]
            return np.array([*nearest, thing.height])
    return np.array([*here[:2], thing.height])


def idle(view: View, arm: int) -> Aim | None:
    """What an arm does that a goal does not need: put down what it holds, rise, go home (None)."""
    if (held := held_thing(view, arm)) is not None:
        return put_down(view, arm, *held)
    if (away := leave(view, arm)) is not None:
        return away
    tcp = view.tcp[arm]
    is_over = any(
        np.hypot(*(state.position[:2] - tcp[:2])) < max(NEARBY, view.layout.things[name].extent + 0.03)
        for name, state in view.now.objects.items()
    )
    if is_over and tcp[2] < SAFE_HEIGHT - 0.01:
        return Aim(np.array([*tcp[:2], SAFE_HEIGHT]), None, OPEN, speed=0.25, noise=0.3)
    return None


def in_turn(view: View, aims: list[Aim | None]) -> list[Aim | None]:
    """Arms without an aim are idle, and one that is in the way of the other's aim is waited for."""
    result: list[Aim | None] = list(aims)
    for arm, aim in enumerate(aims):
        if aim is not None:
            continue
        result[arm] = idle(view, arm)
        wanted = aims[1 - arm]
        if wanted is not None and np.linalg.norm(view.tcp[arm] - wanted.position) < _MARGIN:
            own = view.tcp[1 - arm]
            if np.linalg.norm(view.tcp[arm] - own) > np.linalg.norm(view.tcp[arm] - wanted.position):
                result[1 - arm] = Aim(own, None, wanted.width, noise=0.0)
    return result
