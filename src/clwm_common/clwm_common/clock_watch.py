"""The stack's clock seen from a steady one: does it run, has it jumped, and how fast is it? No clock of its own."""

from __future__ import annotations

import math
from collections import deque

PATIENCE = 2.0  # s that a clock may stand still
REMEMBERED = 10.0  # s for which it is said that the clock has jumped
LEAST_LEAP = 0.2  # s; messages out of order, and ticks that were lost, are less
FASTEST = 10.0  # times real time; a clock that gains more than that on a steady one was set
PACE_OVER = 2.0  # s of the steady clock


class ClockWatch:
    """Look at both clocks about once a second.

    stands: whether the stack's clock has stood still for longer than PATIENCE.
    """

    def __init__(self, started_at: float) -> None:
        """started_at: the steady clock [s] when waiting began."""
        self._last = 0.0
        self._moved_at = started_at
        self._leap: tuple[float, float] | None = None
        self.stands = False

    def look(self, steady: float, ros: float, uses_sim_time: bool) -> str:
        """What is wrong with the stack's clock, which says `ros` at `steady` [s]; empty when it runs."""
        if not uses_sim_time:
            self._last, self._moved_at, self._leap = ros, steady, None
            return ""
        if ros != self._last:
            self._last, self._moved_at = ros, steady
        still = steady - self._moved_at
        self.stands = still > PATIENCE
        if self.stands and ros == 0.0:
            return (
                f"use_sim_time is set and no /clock has come for {still:.0f} s; start what publishes it (a "
                "simulation, or ros2 bag play --clock), or unset use_sim_time"
            )
        if self.stands:
            return (
                f"use_sim_time is set and /clock has stood at {ros:.2f} s for {still:.0f} s; let the simulation go on, "
                "start it again, or unset use_sim_time"
            )
        if self._leap is not None and steady - self._leap[0] < REMEMBERED:
            at, seconds = self._leap
            return (
                f"/clock {leap_text(seconds)}, {steady - at:.0f} s ago; look whether two processes publish it, unless "
                "the simulation was started again"
            )
        return ""

    def leapt(self, steady: float, seconds: float) -> None:
        """The clock has jumped by `seconds`: it is said for a while."""
        self._leap = (steady, seconds)


def leap_text(seconds: float) -> str:
    """How a clock has jumped, in words."""
    return f"went back by {-seconds:.2f} s" if seconds < 0.0 else f"went forward by {seconds:.2f} s at once"


class LeapWatch:
    """Tells a clock that was set from one that goes on, however fast, and from a process that was stopped itself.

    Show it every reading of the stack's clock. A simulation that is paused, or goes slower, makes no leap.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def look(self, steady: float, ros: float) -> float:
        """How far [s] the clock has jumped since the last look, back being negative; 0 when it has not."""
        last, self._last = self._last, (steady, ros)
        if last is None or last[1] == 0.0:
            return 0.0
        passed, step = steady - last[0], ros - last[1]
        return step if abs(step) > LEAST_LEAP and not 0.0 < step <= FASTEST * passed else 0.0


class Pace:
    """How fast the stack's clock has been against a steady one lately. Look some times a second."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float]] = deque()

    def look(self, steady: float, ros: float) -> float:
        """s of the stack's clock in one of the steady clock; 1 until that is known, and while the clock stands."""
        readings = self._readings
        if readings and (ros < readings[-1][1] or ros - readings[-1][1] > FASTEST * (steady - readings[-1][0])):
            readings.clear()
        readings.append((steady, ros))
        while steady - readings[0][0] > PACE_OVER:
            readings.popleft()
        passed = steady - readings[0][0]
        pace = (ros - readings[0][1]) / passed if passed > 0.1 * PACE_OVER else 1.0
        return pace if math.isfinite(pace) and pace > 0.0 else 1.0
