"""One arm takes the block, hands it to the other in the air, and that one puts it on the pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clwm_sim.experts.handing import hand_over
from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal, rests_at
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation

TOLERANCE = 0.045  # m between the middles of block and pad


@dataclass(frozen=True)
class HandOver(Goal):
    kind: ClassVar[str] = "hand_over"
    scenes: ClassVar[tuple[str, ...]] = ("handover",)
    training: ClassVar[tuple[str, ...]] = (
        "hand the block over to the other arm and put it on the pad",
        "pass the {block} block from hand to hand and place it on the pad",
        "give the block to the other hand, which puts it on the {pad} pad",
        "bring the {block} block to the {pad} pad on the other side",
        "take the long block, hand it over, and set it down on the pad",
        "move the {block} bar to the {pad} pad with both arms in turn",
        "one arm picks the block up, the other one places it on the pad",
        "pass the bar across and lay it on the {pad} pad",
        "hand over the {block} block in the air, then place it on the pad",
        "get the {block} bar to the far pad by handing it over",
        "let the other hand take the block and put it on the {pad} pad",
        "please pass the {block} block over to the {pad} pad",
    )
    held_out: ClassVar[tuple[str, ...]] = (
        "swap the {block} block between your hands and drop it off at the {pad} pad",
        "could you transfer the bar to the opposite side, onto its pad",
        "relay the {block} bar from one gripper to the other and lay it on the pad",
        "the {pad} pad across the table should get the block",
        "exchange the long block in mid-air and deliver it to the pad",
    )
    timeout: ClassVar[float] = 22.0
    block: Thing
    pad: Thing

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        return tuple(cls(block=block, pad=pad) for block in layout.of_kind("bar") for pad in layout.of_kind("pad"))

    @property
    def name(self) -> str:
        return self.kind

    @property
    def slots(self) -> dict[str, str]:
        return {"block": self.block.colour, "pad": self.pad.colour}

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        return rests_at(now, self.block, self._place(now), TOLERANCE)

    def aims(self, view: View) -> list[Aim | None]:
        giver = 0 if self.pad.position[1] < 0.0 else 1
        return hand_over(view, self.block, self._place(view.now), giver)

    def _place(self, now: Situation) -> np.ndarray:
        return now.objects[self.pad.name].position + [0.0, 0.0, self.block.height]
