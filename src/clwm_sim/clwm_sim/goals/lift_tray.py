"""Both hands take the tray by its handles and lift it level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clwm_sim.experts.lifting import lift
from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal, is_off_table
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

LIFT_HEIGHT = 0.08  # m under the tray
LIFT_TARGET = 0.115
MAX_TILT = np.radians(8.0)
LOST_TILT = np.radians(35.0)
HOLDS = 0.015  # m between a grip's width and the opening of a hand that holds it
REACH = 0.05  # m from a grip to a tool centre point within which a hand counts as holding


@dataclass(frozen=True)
class LiftTray(Goal):
    kind: ClassVar[str] = "lift_tray"
    scenes: ClassVar[tuple[str, ...]] = ("tray",)
    training: ClassVar[tuple[str, ...]] = (
        "lift the tray with both hands and keep it level",
        "grasp the tray by its handles and raise it",
        "use both arms to pick up the tray",
        "take the tray by both handles and lift it up",
        "raise the tray off the table with two hands",
        "pick the tray up, holding both handles",
        "lift up the tray",
        "both hands: take the handles and raise the tray",
        "get the tray off the table and keep it straight",
        "hold the tray by its two handles, above the table",
        "with two hands, bring the tray up level",
        "please raise the tray",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "elevate the tray without spilling anything",
        "could both arms heave the tray up",
        "hoist the tray by its grips",
        "I need the tray in the air, perfectly horizontal",
        "take hold of the tray on both sides and carry it upwards",
    )
    loss: ClassVar[str] = "the tray tipped over or is out of reach"
    timeout: ClassVar[float] = 12.0
    tray: Thing

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        return tuple(cls(tray=tray) for tray in layout.of_kind("tray"))

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        return is_lifted(now, self.tray, LIFT_HEIGHT)

    def is_lost(self, now: Situation, start: Situation) -> bool:
        return is_tipped(now, self.tray)

    def aims(self, view: View) -> list[Aim | None]:
        return lift(view, self.tray, LIFT_TARGET)


def is_lifted(now: Situation, thing: Thing, height: float) -> bool:
    """Whether both hands hold the thing level, its origin at least `height` m above the table."""
    state = now.objects[thing.name]
    grips = np.array([state.at(grip) for grip in thing.grips])
    closed = now.widths < np.array([grip.width for grip in thing.grips]) + HOLDS
    held = np.all(closed & (np.linalg.norm(now.tcp - grips, axis=1) < REACH))
    return bool(held and state.position[2] >= height and state.tilt < MAX_TILT)


def is_tipped(now: Situation, thing: Thing) -> bool:
    """Whether the thing turned over or is out of reach."""
    state = now.objects[thing.name]
    return bool(state.tilt > LOST_TILT or is_off_table(state.position))
