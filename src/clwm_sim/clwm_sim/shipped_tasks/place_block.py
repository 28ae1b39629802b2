"""The nearer arm puts the block on the pad and lets go."""

from __future__ import annotations

import numpy as np

from clwm_sim.goals.place import Place
from clwm_sim.scenes.task_table import BLOCK_HALF
from clwm_sim.shipped_tasks.base import Placement, Pose, TableSituation, TableTask

TOLERANCE = 0.035  # m between the centres of block and pad
OPEN_WIDTH = 0.06
REACH = 0.08


class PlaceBlock(TableTask):
    name = "place_block"
    instructions = (
        "put the block on the pad",
        "place the red block on the blue pad",
        "move the red cube onto the pad",
        "pick up the block and set it down on the pad",
        "bring the red block to the pad with the nearer arm",
    )
    held_out = tuple(text.format(block="red", pad="blue") for text in Place.held_out)
    timeout = 15.0
    hold_time = 0.2
    loss = "the block has left the arms' reach"

    def place(self, rng: np.random.Generator) -> Placement:
        side = 1.0 if rng.random() < 0.5 else -1.0
        return Placement(
            block=Pose(
                x=0.47 + rng.uniform(-0.06, 0.06),
                y=side * 0.155 + rng.uniform(-0.05, 0.05),
                yaw=np.radians(rng.uniform(-15.0, 15.0)),
            ),
            pad=Pose(x=0.47 + rng.uniform(-0.03, 0.03), y=rng.uniform(-0.02, 0.02)),
        )

    def is_achieved(self, now: TableSituation) -> bool:
        offset = now.block_position - now.pad_position
        at_rest = abs(now.block_position[2] - BLOCK_HALF) < 0.008 and now.block_speed < 0.02
        near = np.linalg.norm(now.tcp - now.block_position, axis=1) < REACH
        released = not np.any(near & (now.widths < OPEN_WIDTH))
        return bool(np.hypot(offset[0], offset[1]) < TOLERANCE and at_rest and released)

    def is_lost(self, now: TableSituation) -> bool:
        x, y, z = now.block_position
        return bool(z < 0.0 or not 0.25 < x < 0.75 or abs(y) > 0.40)
