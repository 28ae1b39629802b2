"""Why an episode failed, from how things were while it went on. No world, no clock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np

from clwm_sim.goals.base import Goal
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.goals.lift_tray import HOLDS, REACH
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation, State

Reason = Literal[
    "", "refused chunk", "moved", "wrong hand", "never reached", "wrong object", "never grasped", "dropped", "timed out"
]
CARRIED = 0.005  # m, and
TURNED = 0.1  # rad, from which on an object has been moved


class Course:
    """What hands have done to an episode's objects since it began."""

    def __init__(self, goal: Goal, layout: Layout, start: Situation) -> None:
        self._goal = goal
        self._things = [thing for thing in layout.things.values() if thing.present and thing.grips]
        bound = {thing.name for thing in goal.things}
        # The goals of the first tasks bind nothing: what can be taken there is what they are about.
        self._own = bound & {thing.name for thing in self._things} or {thing.name for thing in self._things}
        self._start = start
        self._grasped: set[str] = set()
        self._held: set[str] = set()

    def look(self, now: Situation) -> None:
        """Take in how things are. A thing is grasped when a closed hand is at one of its grips and it has moved."""
        self._held = {thing.name for thing in self._things if _is_held(thing, now)}
        self._grasped |= {name for name in self._held if _has_moved(self._start.objects[name], now.objects[name])}

    def reason(self, is_lost: bool, fault: str, others_achieved: Collection[str]) -> Reason:
        """Why the goal was not achieved. fault: why the executor stopped, if it did; others_achieved: other goals."""
        if isinstance(self._goal, KeepStill):
            return "moved" if is_lost else "timed out"
        if fault:
            return "refused chunk"
        if not self._own:
            return "wrong hand" if is_lost else "never reached"
        if not self._grasped & self._own:
            return "wrong object" if self._grasped or others_achieved else "never grasped"
        if others_achieved:
            return "wrong object"
        return "dropped" if is_lost or not self._held & self._own else "timed out"


def _is_held(thing: Thing, now: Situation) -> bool:
    state = now.objects[thing.name]
    return any(
        ((np.linalg.norm(now.tcp - state.at(grip), axis=1) < REACH) & (now.widths < grip.width + HOLDS)).any()
        for grip in thing.grips
    )


def _has_moved(before: State, now: State) -> bool:
    return bool(np.linalg.norm(now.position - before.position) > CARRIED or abs(now.angle - before.angle) > TURNED)
