"""Turning a lever by the knob at its end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.carrying import SAFE_HEIGHT, in_turn, put_down
from clwm_sim.experts.grasping import hand_yaw, held_thing, is_held, take
from clwm_sim.experts.motion import CLOSED, OPEN, Aim, View
from clwm_sim.scenes.things import Thing

AT_END = 0.85  # of the range, from where a lever stays


def turn(view: View, thing: Thing, direction: float) -> list[Aim | None]:
    """The nearer hand takes the knob and turns the lever to its end `direction`, 1 up and -1 down."""
    state = view.now.objects[thing.name]
    grip = thing.grips[0]
    arm = _nearer(view, thing)
    aims: list[Aim | None] = [None, None]
    yaw = hand_yaw(state, grip)
    if (wrong := held_thing(view, arm)) is not None and wrong[0] is not thing:
        aims[arm] = put_down(view, arm, *wrong)
    elif direction * state.angle > AT_END * thing.hinge.range:
        aims[arm] = _leave(view, arm, state.at(grip))
    elif is_held(view, arm, thing, grip):
        lever = np.asarray(grip.point)
        ahead = direction * 1.05 * thing.hinge.range - state.angle
        step = np.clip(ahead, -0.25, 0.25)
        moved = state.position + state.rotation @ _about_y(step) @ lever
        aims[arm] = Aim(view.tcp[arm] + moved - state.at(grip), yaw, CLOSED, speed=0.15, noise=0.0)
    else:
        aims[arm] = take(view, arm, thing, grip, yaw)
    return in_turn(view, aims)


def _nearer(view: View, thing: Thing) -> int:
    for arm in range(2):
        if is_held(view, arm, thing, thing.grips[0]):
            return arm
    place = view.now.objects[thing.name].position
    cost = [abs(place[1] - view.bases[arm][1]) - 0.1 * (np.linalg.norm(view.tcp[arm] - place) < 0.15) for arm in (0, 1)]
    return int(np.argmin(cost))


def _leave(view: View, arm: int, knob: NDArray) -> Aim | None:
    """Open, then back from the panel and up."""
    tcp = view.tcp[arm]
    if np.linalg.norm(tcp - knob) > 0.06:
        return None if tcp[2] > SAFE_HEIGHT else Aim(tcp + [-0.05, 0.0, 0.1], None, OPEN, noise=0.3)
    if view.now.widths[arm] < 0.8 * OPEN:
        return Aim(tcp, None, OPEN, noise=0.0)
    return Aim(tcp + [0.0, 0.0, 0.10], None, OPEN, speed=0.25, noise=0.3)


def _about_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
