"""Trouble for an expert: commands reach the arms disturbed, objects are nudged, and hands let slip what they hold."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_embodichain.expansion.mishaps import Mishaps
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.grasping import held_thing
from clwm_sim.experts.motion import CLOSED, OPEN
from clwm_sim.situation import Situation
from clwm_sim.stage import Stage


class Disturbed(Protocol):
    """An expert whose commands can be disturbed, as far as the moment tolerates."""

    noise_tolerance: NDArray

    def displaced(self, row: NDArray, shift: NDArray, turn: NDArray) -> NDArray[np.float32]: ...


def disturbed(command: NDArray, expert: Disturbed, disturbance: Disturbance) -> NDArray[np.float32]:
    """What the arms are sent in place of the expert's newest command (30,)."""
    early = disturbance.closes_early(expert.noise_tolerance)
    row = expert.displaced(command, *disturbance.next_step(expert.noise_tolerance))
    row[GRIPPERS] = np.where(early, CLOSED, row[GRIPPERS])
    return row


class Trouble:
    """Called with each of the expert's commands (30,), and how things are: returns what the arms are sent instead."""

    def __init__(
        self, stage: Stage, expert: GoalExpert, disturbance: Disturbance, mishaps: Mishaps | None = None
    ) -> None:
        self._stage, self._expert = stage, expert
        self._disturbance, self._mishaps = disturbance, mishaps

    def __call__(self, command: NDArray, now: Situation) -> NDArray[np.float32]:
        tolerance = self._expert.noise_tolerance
        row = disturbed(command, self._expert, self._disturbance)
        if self._mishaps is not None:
            layout = self._stage.layout
            view = self._expert.view(command, layout, now)
            held = [held_thing(view, arm) for arm in range(2)]
            slips = self._mishaps.slips(now, [it and it[0] for it in held])
            row[GRIPPERS] = np.where(slips, OPEN, row[GRIPPERS])
            nudge = self._mishaps.nudge(now, layout, moves=bool(np.max(tolerance) > 0.0))
            if nudge is not None:
                self._stage.displace(nudge.name, nudge.shift)
        return row
