"""The stack's clock as a node has it: the machine's or, with use_sim_time, what is published on /clock."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from rclpy.subscription import Subscription

from clwm_common.clock_watch import ClockWatch, LeapWatch, leap_text

CLOCK = "/clock"


class StackClock:
    """A part of ClwmNode, for times on the stack's clock, and for what goes wrong with it.

    Watchdogs of processes are not for this clock: when it stands, they must not.
    """

    # rclpy subscribes to /clock before the constructor of a node is done.
    _clock_input: Subscription | None = None

    def begin_clock(self) -> None:
        """Before the constructor of rclpy's node."""
        self._leaps, self._clock_watch = LeapWatch(), ClockWatch(time.monotonic())

    def clock_jumped(self, seconds: float) -> None:
        """The stack's clock was set by `seconds`, back being negative: forget instants, which mean nothing now."""

    def clock_stands(self, problem: str) -> None:
        """/clock is dead, for the reason `problem`: said once a second meanwhile, and empty when it runs again."""

    @property
    def uses_sim_time(self) -> bool:
        return self.get_parameter("use_sim_time").value

    def now(self) -> float:
        """Seconds on the stack's clock."""
        # A Time of rclpy around the same number would take longer than reading the clock, at every event.
        return self.get_clock().handle.get_now().nanoseconds * 1e-9

    def steady(self) -> float:
        """Seconds on a clock that is not set and goes as fast as the stack's: with simulated time, the same."""
        return self.now() if self.uses_sim_time else time.monotonic()

    def read_clock(self) -> None:
        """Take what has come on /clock: in a callback that waits for an instant, nobody else does."""
        source = self._clock_input
        if source is not None:
            with source.handle:
                while taken := source.handle.take_message(source.msg_type, source.raw):
                    source.callback(taken[0])

    def heeding_leaps(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """The callback by which rclpy takes /clock, with `clock_jumped` behind it."""

        @functools.wraps(callback)
        def take(message: Any) -> None:
            callback(message)
            steady = time.monotonic()
            if seconds := self._leaps.look(steady, self.now()):
                self._clock_watch.leapt(steady, seconds)
                self.get_logger().warning(f"/clock {leap_text(seconds)}")
                self.clock_jumped(seconds)

        return take

    def look_at_clock(self) -> str:
        """What is wrong with the clock, for the health; asked once a second, by a steady clock."""
        stood = self._clock_watch.stands
        problem = self._clock_watch.look(time.monotonic(), self.now(), self.uses_sim_time)
        if self._clock_watch.stands or stood:
            self.clock_stands(problem if self._clock_watch.stands else "")
        return problem
