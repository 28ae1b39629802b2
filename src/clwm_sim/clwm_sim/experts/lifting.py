"""Lifting a thing level by two handles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.carrying import put_down
from clwm_sim.experts.grasping import BLOCKED, LOST_GRASP, hand_yaw, held_thing, is_held, take
from clwm_sim.experts.motion import CLOSED, OPEN, Aim, View
from clwm_sim.scenes.things import Thing

LIFT_SPEED = 0.14
LIFTED, TILTED = 0.012, 0.08  # m and rad from where on a thing no longer stands on the table


def lift(view: View, thing: Thing, height: float) -> list[Aim | None]:
    """Both hands take their grip of the thing and raise its origin to `height` m, evenly."""
    state = view.now.objects[thing.name]
    points = np.array([state.at(grip) for grip in thing.grips])
    yaws = [hand_yaw(state, grip) for grip in thing.grips]
    held = [is_held(view, arm, thing, grip) for arm, grip in enumerate(thing.grips)]
    if not all(held) and (state.position[2] > LIFTED or state.tilt > TILTED):
        # It hangs on one hand: down with it before it turns over.
        downs = [_let_down(view, arm, point) for arm, point in enumerate(points)]
        if downs != [None, None]:
            return downs
    if not all(held):
        return [_hold(view, arm, thing, yaws[arm]) for arm in range(2)]
    # Straight up together; a hand that is higher than the other rises a little less, which keeps the thing level.
    heights = points[:, 2]
    rest = heights.mean() - state.position[2]
    lifts = height + rest - heights.mean() - 0.3 * (heights - heights.mean())
    return [
        Aim(view.tcp[arm] + [0.0, 0.0, lifts[arm]], yaws[arm], CLOSED, speed=LIFT_SPEED, noise=0.0) for arm in range(2)
    ]


def _let_down(view: View, arm: int, grip: NDArray) -> Aim | None:
    """A hand that is closed around the grip (3,) goes down with it, and lets go when it cannot go further."""
    tcp, there = view.tcp[arm], view.now.tcp[arm]
    if view.told[arm] > 0.5 * OPEN or np.linalg.norm(there - grip) > LOST_GRASP:
        return None
    if np.linalg.norm(there - tcp) > BLOCKED:
        return Aim(tcp, None, OPEN, noise=0.0)
    return Aim(tcp - [0.0, 0.0, 0.05], None, CLOSED, speed=0.12, noise=0.0)


def _hold(view: View, arm: int, thing: Thing, yaw: float) -> Aim:
    grip = thing.grips[arm]
    if (wrong := held_thing(view, arm)) is not None and wrong[0] is not thing:
        return put_down(view, arm, *wrong)
    return take(view, arm, thing, grip, yaw)
