"""When a simulated gripper has done what its goal asks: it is there, or it holds something on the way. No ROS."""

from __future__ import annotations

from clwm_common.control.gripper_goal import Ending

REACHED = 0.002  # m
STANDS = 0.005  # m/s
HOLDS_AFTER = 0.3  # s for which the fingers must stand before they count as holding something


class GripperGoal:
    """One goal on its way."""

    def __init__(self, width: float) -> None:
        """width: wanted opening [m]."""
        self.width = width
        self._stands_since: float | None = None

    def look(self, now: float, width: float, speed: float) -> Ending | None:
        """Opening [m] and its speed [m/s] at `now` [s]; how the goal ends, or None while it goes on."""
        if abs(width - self.width) <= REACHED:
            return Ending(width, is_holding=False)
        if abs(speed) > STANDS:
            self._stands_since = None
            return None
        self._stands_since = now if self._stands_since is None else min(self._stands_since, now)
        if now - self._stands_since < HOLDS_AFTER:
            return None
        return Ending(width, is_holding=True, note="the fingers stand on something")
