"""A simulated gripper: an opening that moves at a constant speed to where it is told."""

from __future__ import annotations

import math

import numpy as np


class GripperController:
    """Moves a gripper's opening [m] towards a target at a constant speed [m/s] within its range."""

    def __init__(self, opening: float, opening_min: float, opening_max: float, speed: float) -> None:
        if not opening_min < opening_max or speed <= 0.0:
            raise ValueError(
                f"gripper range [{opening_min}, {opening_max}] m at {speed} m/s; expected min < max and speed > 0"
            )
        self._range = (opening_min, opening_max)
        self._speed = speed
        self.reset(opening)

    @property
    def opening(self) -> float:
        """The setpoint in force [m]."""
        return self._opening

    def reset(self, opening: float) -> None:
        """Be at `opening` and stay there."""
        self._opening = self._target = float(np.clip(opening, *self._range))
        self._asked_speed = self._speed

    def receive(self, opening: float, speed: float = math.inf) -> None:
        """Take a new target; beyond the range it is clamped. speed: m/s, no more than the gripper's own.

        Raises ValueError when the target is not a finite number.
        """
        if not math.isfinite(opening):
            low, high = self._range
            raise ValueError(f"gripper opening is {opening}; expected metres between {low} and {high}")
        self._target = float(np.clip(opening, *self._range))
        self._asked_speed = speed

    def update(self, period: float) -> float:
        """Move for `period` seconds and return the setpoint [m]."""
        reach = min(self._speed, self._asked_speed) * period
        # min and max: numpy's clip of one number would cost more than the rest of the update.
        self._opening += min(max(self._target - self._opening, -reach), reach)
        return self._opening
