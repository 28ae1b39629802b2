"""Put the block of one colour on the pad of one colour, and let go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clwm_sim.experts.carrying import choose_arm, in_turn, move
from clwm_sim.experts.clearing import aside, lying_at, resting_on
from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal, rests_at
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

TOLERANCE = 0.035  # m between the middles of block and pad


@dataclass(frozen=True)
class Place(Goal):
    kind: ClassVar[str] = "place"
    scenes: ClassVar[tuple[str, ...]] = ("blocks",)
    training: ClassVar[tuple[str, ...]] = (
        "put the {block} block on the {pad} pad",
        "place the {block} block on the {pad} pad",
        "move the {block} cube onto the {pad} pad",
        "pick up the {block} block and set it down on the {pad} pad",
        "bring the {block} block to the {pad} pad",
        "set the {block} cube on the {pad} pad",
        "the {block} block belongs on the {pad} pad",
        "take the {block} block and put it on the {pad} square",
        "on the {pad} pad, place the {block} cube",
        "grasp the {block} cube and leave it on the {pad} pad",
        "carry the {block} block over to the {pad} square",
        "please put the {block} cube onto the {pad} mat",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "drop the {block} block off at the {pad} pad",
        "could you get the {block} cube onto the {pad} square",
        "I want the {block} block lying on the {pad} pad",
        "transfer the {block} cube to the {pad} mat",
        "deliver the {block} block to the {pad} pad and let go of it",
    )
    block: Thing
    pad: Thing

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Place, ...]:
        return tuple(cls(block, pad) for block in layout.of_kind("block") for pad in layout.of_kind("pad"))

    @property
    def slots(self) -> dict[str, str]:
        return {"block": self.block.colour, "pad": self.pad.colour}

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        place = now.objects[self.pad.name].position + [0.0, 0.0, self.block.height]
        return rests_at(now, self.block, place, TOLERANCE)

    def aims(self, view: View) -> list[Aim | None]:
        target = view.now.objects[self.pad.name].position + [0.0, 0.0, self.block.height]
        thing = self.block
        if (other := resting_on(view, thing) or lying_at(view, target, thing)) is not None:
            thing, target = aside(view, other)
        arm = choose_arm(view, thing, target)
        aims: list[Aim | None] = [None, None]
        aims[arm] = move(view, arm, thing, target)
        return in_turn(view, aims)
