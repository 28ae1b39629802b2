"""When a gripper is told something: on change only, so that noise in the rows does not make it chatter."""

from __future__ import annotations

from clwm_common.robot.gripper import Gripper


class GripperCommander:
    """Turns the opening of every consumed row into the few commands worth sending."""

    def __init__(self, gripper: Gripper, threshold: float, snap: float) -> None:
        """threshold: smallest change [m] sent. snap: openings this near an end of the range [m] become that end."""
        self._gripper = gripper
        self._threshold = threshold
        self._snap = snap
        self._sent: float | None = None

    def assume(self, opening: float) -> None:
        """Take this measured opening [m] for commanded: arms that hold must not open or close for it."""
        self._sent = self._snapped(opening)

    def update(self, opening: float) -> float | None:
        """The opening [m] to command for a row that takes effect now, or None when nothing need be said."""
        width = self._snapped(opening)
        if self._sent is not None and abs(width - self._sent) <= self._threshold:
            return None
        self._sent = width
        return width

    def _snapped(self, opening: float) -> float:
        low, high = self._gripper.opening_min, self._gripper.opening_max
        width = min(max(opening, low), high)
        if width - low <= self._snap:
            return low
        return high if high - width <= self._snap else width
