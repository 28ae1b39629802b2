"""Clocks that cores are handed by their shells: the machine's own, and one that moves only when told."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the present time in seconds."""

    def now(self) -> float: ...


class MonotonicClock:
    """The machine's steady clock: for durations, never for stamps."""

    def now(self) -> float:
        return time.perf_counter()


class VirtualClock:
    """Time that is moved by hand; never backwards."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance_to(self, instant: float) -> None:
        """Raises ValueError when `instant` lies before the present."""
        if instant < self._now:
            raise ValueError(f"virtual clock asked to go back from {self._now} to {instant}; time only moves forward")
        self._now = instant
