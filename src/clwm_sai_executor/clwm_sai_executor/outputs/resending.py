"""When a message that may be lost on its way is sent again: ros2_controllers listen best effort."""

from __future__ import annotations

import math

CLOCK_SET = 0.01  # s; by less, the clock was not set, but read a moment before the steady one
SOONEST = 0.0025  # s


class Resending:
    """The repetitions of the newest message on a topic, the same byte for byte, for as long as it is in force.

    Where the message arrived a repetition changes nothing: a controller replaces what it is doing by the same. The
    first is due `soon` s after the message, and every gap is twice the one before: a message in force for T s is
    repeated log2(1 + T / soon) times at most, and one lost in a silence of D s arrives at most D + soon after its end.

    A controller takes the time of a message from the stack's clock, and goes on by a steady one. When the stack's clock
    is set in between, a repetition would make it leap, so there is none.
    """

    def __init__(self, soon: float) -> None:
        self._soon = max(soon, SOONEST)
        self.drop()

    def sent(self, now: float, steady: float, until: float) -> None:
        """A message left that is in force until `until` [s]. Now is `now`, and `steady` on a steady clock."""
        self._apart = now - steady
        self._until = until
        self._gap = self._soon
        self._due = steady + self._gap

    def drop(self) -> None:
        """Repeat nothing: what was sent has no meaning any more."""
        self._due = math.inf

    def is_due(self, now: float, steady: float) -> bool:
        """Whether the message is to be sent again now; the next time is later then."""
        if steady < self._due:
            return False
        if now >= self._until or abs(now - steady - self._apart) > CLOCK_SET:
            self.drop()
            return False
        # From now, not from when it was due: a pause must not be followed by a burst.
        self._gap *= 2.0
        self._due = steady + self._gap
        return True
