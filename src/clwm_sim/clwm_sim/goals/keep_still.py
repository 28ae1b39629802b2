"""Asked to wait or to do nothing, the arms stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clwm_sim.experts.motion import Aim, View, stay
from clwm_sim.goals.base import ANY_SCENE, Goal
from clwm_sim.scenes.things import Layout
from clwm_sim.situation import Situation

TOOL_MOVES = 0.010  # m that a hand may drift
OBJECT_MOVES = 0.010
OBJECT_TURNS = np.radians(5.0)
HOLD_TIME = 4.0  # s


@dataclass(frozen=True)
class KeepStill(Goal):
    kind: ClassVar[str] = "keep_still"
    scenes: ClassVar[tuple[str, ...]] = (ANY_SCENE,)
    training: ClassVar[tuple[str, ...]] = (
        "keep still",
        "do nothing",
        "wait",
        "stay where you are",
        "do not move",
        "hold still and keep both arms where they are",
        "stop and wait",
        "leave everything as it is",
        "do not touch anything",
        "wait without moving the arms",
        "keep both hands still",
        "stand by",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "stop, do nothing and keep both arms still",
        "freeze",
        "remain motionless for now",
        "please pause and hold your position",
        "just watch and leave the table alone",
    )
    loss: ClassVar[str] = "a hand or an object moved"
    hold_time: ClassVar[float] = HOLD_TIME
    settling: ClassVar[float] = 0.8  # s in which arms that were moving may come to rest
    timeout: ClassVar[float] = HOLD_TIME + 2.0
    moves: ClassVar[bool] = False
    movable: tuple[str, ...]  # objects that an arm can move; somebody else may place the others

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        things = layout.things.values()
        return (cls(tuple(thing.name for thing in things if thing.present and thing.moves != "placed")),)

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        return not self.is_lost(now, start)

    def is_lost(self, now: Situation, start: Situation) -> bool:
        if (np.linalg.norm(now.tcp - start.tcp, axis=1) > TOOL_MOVES).any():
            return True
        for name in self.movable:
            before, state = start.objects[name], now.objects[name]
            turned = (np.trace(before.rotation.T @ state.rotation) - 1.0) / 2.0
            moved = np.linalg.norm(state.position - before.position) > OBJECT_MOVES
            if moved or np.arccos(np.clip(turned, -1.0, 1.0)) > OBJECT_TURNS:
                return True
        return False

    def aims(self, view: View) -> list[Aim | None]:
        return [stay(view, arm) for arm in range(2)]

    def retreat(self, view: View) -> list[Aim | None]:
        return self.aims(view)
