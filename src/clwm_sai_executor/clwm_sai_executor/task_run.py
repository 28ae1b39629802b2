"""When a run of one instruction is over, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from clwm_common.messages import Mode


class Outcome(IntEnum):
    """How a run ended; the values of the RunTask action."""

    SUCCEEDED = 0
    FAILED = 1
    TIMED_OUT = 2
    CANCELLED = 3


@dataclass(frozen=True)
class WorldVerdict:
    """What is known of the episode at `stamp` [s]; on a real robot somebody has to judge it."""

    stamp: float
    succeeded: bool
    failed: bool


@dataclass(frozen=True)
class TaskRun:
    """A run that began at `started_at` [s] and may take `timeout` [s]."""

    started_at: float
    timeout: float

    def judge(
        self, now: float, verdict: WorldVerdict | None, *, is_current: bool, mode: Mode, fault: str
    ) -> tuple[Outcome, str] | None:
        """The outcome and the reason for it, or None while the run goes on.

        A verdict from before the start says nothing about this run. is_current: no other task was set meanwhile.
        """
        if not is_current:
            return Outcome.CANCELLED, "another task was set"
        if verdict is not None and verdict.stamp >= self.started_at:
            if verdict.succeeded:
                return Outcome.SUCCEEDED, ""
            if verdict.failed:
                return Outcome.FAILED, "the failure predicate of the task holds"
        if mode is not Mode.POLICY and fault:
            return Outcome.FAILED, fault
        if mode is Mode.ESTOP:
            return Outcome.CANCELLED, "emergency stop"
        if now - self.started_at >= self.timeout:
            return Outcome.TIMED_OUT, f"not finished after {self.timeout:g} s"
        return None
