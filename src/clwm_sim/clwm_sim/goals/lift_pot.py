"""Both hands take the pot by its handles, lift it, and hold it level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clwm_sim.experts.lifting import lift
from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal
from clwm_sim.goals.lift_tray import is_lifted, is_tipped
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

LIFT_HEIGHT = 0.10  # m under the pot
LIFT_TARGET = 0.135


@dataclass(frozen=True)
class LiftPot(Goal):
    kind: ClassVar[str] = "lift_pot"
    scenes: ClassVar[tuple[str, ...]] = ("pot",)
    training: ClassVar[tuple[str, ...]] = (
        "lift the pot with both hands and hold it level",
        "take the pot by its two handles and raise it",
        "pick up the pot with both arms",
        "grasp both handles and lift the pot",
        "raise the pot off the table and keep it straight",
        "lift up the pot",
        "both hands: take the handles of the pot and lift",
        "hold the pot by its handles, above the table",
        "with two hands, bring the pot up level",
        "get the pot off the table with both arms",
        "use both arms to lift the pot by its handles",
        "please raise the pot",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "hoist the pot by its grips",
        "could both arms heave the cooking pot up",
        "elevate the pot without tilting it",
        "I need the pot in the air, perfectly horizontal",
        "take hold of the pot on both sides and carry it upwards",
    )
    loss: ClassVar[str] = "the pot tipped over or is out of reach"
    hold_time: ClassVar[float] = 0.5
    timeout: ClassVar[float] = 14.0
    pot: Thing

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        return tuple(cls(pot=pot) for pot in layout.of_kind("pot"))

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        return is_lifted(now, self.pot, LIFT_HEIGHT)

    def is_lost(self, now: Situation, start: Situation) -> bool:
        return is_tipped(now, self.pot)

    def aims(self, view: View) -> list[Aim | None]:
        return lift(view, self.pot, LIFT_TARGET)
