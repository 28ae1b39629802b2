"""Put the block of one colour on top of the block of another, and let go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clwm_sim.experts.carrying import choose_arm, in_turn, move
from clwm_sim.experts.clearing import aside, resting_on
from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal, rests_at
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation


@dataclass(frozen=True)
class Stack(Goal):
    kind: ClassVar[str] = "stack"
    scenes: ClassVar[tuple[str, ...]] = ("blocks",)
    training: ClassVar[tuple[str, ...]] = (
        "stack the {upper} block on the {lower} block",
        "put the {upper} block on top of the {lower} block",
        "place the {upper} cube on the {lower} cube",
        "pick up the {upper} block and stack it on the {lower} one",
        "build a tower with the {lower} block below and the {upper} block on top",
        "set the {upper} cube on top of the {lower} cube",
        "the {upper} block goes on top of the {lower} block",
        "take the {upper} cube and put it on the {lower} cube",
        "stack {upper} on {lower}",
        "on top of the {lower} block, place the {upper} block",
        "lay the {upper} block onto the {lower} block",
        "please stack the {upper} cube on the {lower} one",
        "have the {lower} block hold up the {upper} block",
        "use the {lower} cube as the base for the {upper} cube",
        "the {lower} block belongs below the {upper} block",
        "{upper} over {lower}, as a tower",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "pile the {upper} block onto the {lower} one",
        "make the {lower} block carry the {upper} block",
        "I want to see {upper} above {lower} in one tower",
        "could you balance the {upper} cube on the {lower} cube",
        "crown the {lower} block with the {upper} block",
    )
    upper: Thing
    lower: Thing

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Stack, ...]:
        blocks = layout.of_kind("block")
        return tuple(cls(upper, lower) for upper in blocks for lower in blocks if upper is not lower)

    @property
    def slots(self) -> dict[str, str]:
        return {"upper": self.upper.colour, "lower": self.lower.colour}

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        lower = now.objects[self.lower.name].position
        place = lower + [0.0, 0.0, self.lower.height + self.upper.height]
        stands = abs(lower[2] - self.lower.height) < 0.008
        return stands and rests_at(now, self.upper, place, self._tolerance())

    def aims(self, view: View) -> list[Aim | None]:
        lower = view.now.objects[self.lower.name]
        thing, target = self.upper, lower.position + [0.0, 0.0, self.lower.height + self.upper.height]
        stands = lower.position[2] < self.lower.height + 0.01
        other = resting_on(view, self.upper) or resting_on(view, self.lower, allowed=self.upper)
        if other is not None:
            thing, target = aside(view, other)
        elif not stands:
            thing, target = aside(view, self.lower)
        arm = choose_arm(view, thing, target)
        aims: list[Aim | None] = [None, None]
        aims[arm] = move(view, arm, thing, target, close=0.006, done=0.9 * self._tolerance())
        return in_turn(view, aims)

    def _tolerance(self) -> float:
        """m between the middles up to which the upper block stands well on the lower one."""
        return 0.8 * min(self.lower.height, self.upper.height)
