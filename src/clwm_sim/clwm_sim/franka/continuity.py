"""What a robot's own checks make of the positions that it is commanded every millisecond."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import JointLimits
from clwm_sim.franka.robots import CYCLE

TOLERANCE = 1e-3  # of a limit: where a motion begins is known to 32 bits


class ContinuityCheck:
    """Differences of commands that follow one another, against velocity, acceleration and jerk.

    A cycle without a command breaks the row: a robot goes on by itself meanwhile, so what comes next begins anew.
    """

    def __init__(self, limits: JointLimits) -> None:
        self._lower, self._upper = np.array(limits.position_lower), np.array(limits.position_upper)
        rules = {
            "joint_motion_generator_velocity_limits_violation": limits.velocity,
            "joint_motion_generator_velocity_discontinuity": limits.acceleration,
            "joint_motion_generator_acceleration_discontinuity": limits.jerk,
        }
        self._rules = {name: (1.0 + TOLERANCE) * np.array(limit) for name, limit in rules.items()}
        self.restart()

    def restart(self) -> None:
        """What came before has no meaning for what comes next."""
        self._last: list[NDArray[np.float64]] = []

    def judge(self, position: NDArray[np.float64]) -> str:
        """The robot's error for the command (7,) rad of the next cycle; empty when it takes it."""
        if (position < self._lower).any() or (position > self._upper).any():
            return "joint_motion_generator_position_limits_violation"
        found, last = "", [position]
        for (name, limit), before in zip(self._rules.items(), self._last, strict=False):
            last.append((last[-1] - before) / CYCLE)
            if not found and (np.abs(last[-1]) > limit).any():
                found = name
        self._last = last
        return found
