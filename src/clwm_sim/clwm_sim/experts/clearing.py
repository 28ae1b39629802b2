"""Moving away first what stands in a goal's way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.carrying import free_place
from clwm_sim.experts.grasping import is_held
from clwm_sim.experts.motion import View
from clwm_sim.scenes.things import Thing


def resting_on(view: View, thing: Thing, allowed: Thing | None = None) -> Thing | None:
    """Another thing than the `allowed` one that lies on top of this one."""
    here = view.now.objects[thing.name].position
    for other in view.layout.of_kind(thing.kind):
        if other is thing or other is allowed or other.name not in view.now.objects:
            continue
        off = view.now.objects[other.name].position - here
        touching = 0.5 * (thing.height + other.height) < off[2] < thing.height + other.height + 0.012
        if touching and np.hypot(off[0], off[1]) < 0.04:
            return other
    return None


def lying_at(view: View, place: NDArray, thing: Thing) -> Thing | None:
    """Another thing of this kind so near to place (3,) on the table that this one does not fit there."""
    for other in view.layout.of_kind(thing.kind):
        state = view.now.objects.get(other.name)
        if other is thing or state is None or state.position[2] > other.height + 0.012:
            continue
        if np.hypot(*(state.position[:2] - place[:2])) < thing.height + other.height + 0.015:
            return other
    return None


def aside(view: View, thing: Thing) -> tuple[Thing, NDArray[np.float64]]:
    """A thing, and where it is out of the way: on the side of the hand that holds it, or else on its own."""
    holders = [arm for arm in range(2) if any(is_held(view, arm, thing, grip) for grip in thing.grips)]
    arm = holders[0] if holders else int(view.now.objects[thing.name].position[1] < 0.0)
    return thing, free_place(view, arm, thing)
