"""The nearer arm puts the block on the tray, and lets go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clwm_sim.experts.carrying import choose_arm, in_turn, move
from clwm_sim.experts.grasping import is_held
from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal, has_let_go
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

ON_TRAY = (0.075, 0.105)  # m from its middle, along and across


@dataclass(frozen=True)
class LoadTray(Goal):
    kind: ClassVar[str] = "load_tray"
    scenes: ClassVar[tuple[str, ...]] = ("tray",)
    training: ClassVar[tuple[str, ...]] = (
        "put the block on the tray",
        "place the {block} block on the tray",
        "set the {block} cube down on the tray",
        "pick up the block and put it on the tray",
        "move the {block} block onto the tray",
        "load the block onto the tray",
        "the {block} block belongs on the tray",
        "bring the cube to the tray",
        "lay the {block} cube onto the tray",
        "take the block beside the tray and put it on the tray",
        "on the tray, place the {block} block",
        "please put the cube on the tray",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "drop the {block} block off on the tray",
        "could you get the cube onto the tray",
        "I want the {block} block lying on the tray",
        "serve the block on the tray",
        "transfer the {block} cube to the tray and let go of it",
    )
    block: Thing
    tray: Thing

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        return tuple(cls(block, tray) for block in layout.of_kind("block") for tray in layout.of_kind("tray"))

    @property
    def name(self) -> str:
        return self.kind

    @property
    def slots(self) -> dict[str, str]:
        return {"block": self.block.colour}

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        block, tray = now.objects[self.block.name], now.objects[self.tray.name]
        off = tray.rotation.T @ (block.position - tray.position)
        inside = abs(off[0]) < ON_TRAY[0] and abs(off[1]) < ON_TRAY[1]
        lies = abs(off[2] - self._rest()[2]) < 0.010 and block.speed < 0.02 and tray.position[2] < 0.01
        return bool(inside and lies and has_let_go(now, self.block))

    def aims(self, view: View) -> list[Aim | None]:
        tray = view.now.objects[self.tray.name]
        if any(is_held(view, arm, self.tray, grip) for arm, grip in enumerate(self.tray.grips)):
            return in_turn(view, [None, None])
        target = tray.position + tray.rotation @ self._rest()
        arm = choose_arm(view, self.block, target)
        aims: list[Aim | None] = [None, None]
        aims[arm] = move(view, arm, self.block, target, close=0.03)
        return in_turn(view, aims)

    def _rest(self) -> np.ndarray:
        """Where the block rests, in the tray's frame."""
        surface = 2.0 * next(part.size[2] for part in self.tray.parts if part.name == "plate")
        return np.array([0.0, 0.0, surface + self.block.height])
