"""A robot's own time on the stack's clock: it counts milliseconds, and its states come a moment after they were."""

from __future__ import annotations

SMOOTH = 0.5  # s over which the two are compared: how late a state came says little, by how much on average all
LEAP = 0.1  # s apart from which one of the two was set, or stood still


class RobotClock:
    """Tells the stack's time of a robot's instants. Feed it with every state, in order."""

    def __init__(self) -> None:
        self._apart: float | None = None
        self._robot_time = 0.0

    def at(self, robot_time: float, now: float) -> float:
        """When, on the stack's clock, a state of `robot_time` [s] was that came in `now` [s]."""
        off = now - robot_time
        passed, self._robot_time = robot_time - self._robot_time, robot_time
        if self._apart is None or passed < 0.0 or abs(off - self._apart) > LEAP:
            self._apart = off
        else:
            self._apart += min(passed / SMOOTH, 1.0) * (off - self._apart)
        return robot_time + self._apart
