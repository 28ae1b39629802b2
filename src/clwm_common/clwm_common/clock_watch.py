"""Whether the stack's clock runs, seen from a steady one: `use_sim_time` without a /clock stops all that waits."""

from __future__ import annotations

PATIENCE = 2.0  # s that a clock may stand still
REMEMBERED = 10.0  # s for which it is said that the clock went back


class ClockWatch:
    """Look at both clocks about once a second."""

    def __init__(self, started_at: float) -> None:
        """started_at: the steady clock [s] when waiting began."""
        self._last = 0.0
        self._moved_at = started_at
        self._back: tuple[float, float] | None = None

    def look(self, steady: float, ros: float, uses_sim_time: bool) -> str:
        """What is wrong with the stack's clock, which says `ros` at `steady` [s]; empty when it runs."""
        if not uses_sim_time:
            self._last, self._moved_at, self._back = ros, steady, None
            return ""
        if ros < self._last:
            self._back = (steady, self._last - ros)
        if ros != self._last:
            self._last, self._moved_at = ros, steady
        still = steady - self._moved_at
        if still > PATIENCE and ros == 0.0:
            return (
                f"use_sim_time is set and no /clock has come for {still:.0f} s; start what publishes it (a "
                "simulation, or ros2 bag play --clock), or unset use_sim_time"
            )
        if still > PATIENCE:
            return (
                f"use_sim_time is set and /clock has stood at {ros:.2f} s for {still:.0f} s; let the simulation go on, "
                "start it again, or unset use_sim_time"
            )
        if self._back is not None and steady - self._back[0] < REMEMBERED:
            return (
                f"/clock went back by {self._back[1]:.2f} s, {steady - self._back[0]:.0f} s ago; look whether two "
                "processes publish it, unless the simulation was started again"
            )
        return ""
