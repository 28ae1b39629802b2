"""Turn the lever of one colour up or down, and let go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clwm_sim.experts.motion import Aim, View
from clwm_sim.experts.turning import AT_END, turn
from clwm_sim.goals.base import OPEN_WIDTH, Goal
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

_SIGNS = {"up": 1.0, "down": -1.0}
_NEAR = 0.05  # m from the knob


@dataclass(frozen=True)
class TurnLever(Goal):
    kind: ClassVar[str] = "turn_lever"
    scenes: ClassVar[tuple[str, ...]] = ("switches",)
    training: ClassVar[tuple[str, ...]] = (
        "turn the {lever} lever {way}",
        "push the {lever} lever {way}",
        "move the {lever} lever {way}",
        "switch the {lever} lever {way}",
        "flip the {lever} switch {way}",
        "set the {lever} lever to {way}",
        "bring the {lever} lever {way}",
        "take the {lever} lever and turn it {way}",
        "put the {lever} switch into its {way} position",
        "the {lever} lever has to go {way}",
        "grasp the {lever} handle on the panel and move it {way}",
        "please turn the {lever} switch {way}",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "throw the {lever} lever {way}",
        "could you get the {lever} switch pointing {way}",
        "I want the {lever} lever {way}",
        "toggle the {lever} lever so that it is {way}",
        "make the {lever} handle of the panel point {way}",
    )
    lever: Thing
    way: str
    timeout: ClassVar[float] = 12.0

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        return tuple(cls(lever, way) for lever in layout.of_kind("lever") for way in _SIGNS)

    @property
    def slots(self) -> dict[str, str]:
        return {"lever": self.lever.colour, "way": self.way}

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        state = now.objects[self.lever.name]
        at_end = _SIGNS[self.way] * state.angle > AT_END * self.lever.hinge.range
        near = np.linalg.norm(now.tcp - state.at(self.lever.grips[0]), axis=1) < _NEAR
        return bool(at_end and not np.any(near & (now.widths < OPEN_WIDTH)))

    def aims(self, view: View) -> list[Aim | None]:
        return turn(view, self.lever, _SIGNS[self.way])
