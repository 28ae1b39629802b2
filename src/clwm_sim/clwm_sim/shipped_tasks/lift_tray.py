"""Both arms take the tray by its handles and lift it level."""

from __future__ import annotations

import numpy as np

from clwm_sim.goals import lift_tray as goal
from clwm_sim.shipped_tasks.base import Placement, Pose, TableSituation, TableTask

LIFT_HEIGHT = 0.08
MAX_TILT = np.radians(8.0)
LOST_TILT = np.radians(35.0)
REACH = 0.05  # m from grasp point to tool centre point within which a hand counts as holding


class LiftTray(TableTask):
    name = "lift_tray"
    instructions = (
        "lift the tray with both hands and keep it level",
        "grasp the tray by its handles and raise it",
        "use both arms to pick up the blue tray",
        "take the tray by both handles and lift it up",
        "raise the tray off the table with two hands",
    )
    held_out = goal.LiftTray.held_out
    timeout = 12.0
    hold_time = 0.3
    loss = "the tray has tipped over, or left the arms' reach"

    def place(self, rng: np.random.Generator) -> Placement:
        return Placement(
            tray=Pose(
                x=0.48 + rng.uniform(-0.04, 0.04), y=rng.uniform(-0.05, 0.05), yaw=np.radians(rng.uniform(-15.0, 15.0))
            )
        )

    def is_achieved(self, now: TableSituation) -> bool:
        held = np.linalg.norm(now.tcp - now.handles, axis=1) < REACH
        return bool(now.tray_position[2] >= LIFT_HEIGHT and now.tray_tilt < MAX_TILT and held.all())

    def is_lost(self, now: TableSituation) -> bool:
        x, y, z = now.tray_position
        return bool(now.tray_tilt > LOST_TILT or z < -0.02 or not 0.25 < x < 0.75 or abs(y) > 0.35)
