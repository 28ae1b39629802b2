"""What `clwm preflight --sim-time` makes of /clock. No ROS, no clock of its own."""

from __future__ import annotations

from clwm_bringup.checks.doctor import Outcome, Result
from clwm_common.clock_watch import ClockWatch, Pace


class ClockCheck:
    """Show it both clocks some times a second, then ask for the `result`."""

    def __init__(self, steady: float) -> None:
        self._watch, self._pace = ClockWatch(steady), Pace()
        self._began_at = steady
        self._has_come = False

    def has_begun(self, steady: float, ros: float) -> bool:
        """Whether the stack's clock, which says `ros` at `steady` [s], has come just now."""
        self._pace.look(steady, ros)
        self._watch.look(steady, ros, uses_sim_time=True)
        before, self._has_come = self._has_come, ros > 0.0
        return self._has_come and not before

    def result(self, steady: float, ros: float) -> Result:
        """Whether the clock runs, and how fast."""
        if not self._has_come:
            found = f"use_sim_time is set and no /clock has come for {steady - self._began_at:.0f} s"
            remedy = "start what publishes it (a simulation, or ros2 bag play --clock), or leave --sim-time out"
            return Result(Outcome.FAIL, found, remedy)
        if problem := self._watch.look(steady, ros, uses_sim_time=True):
            found, _, remedy = problem.partition("; ")
            return Result(Outcome.FAIL, found, remedy)
        return Result(
            Outcome.OK, f"/clock says {ros:.2f} s and goes {self._pace.look(steady, ros):.2f} times real time"
        )
