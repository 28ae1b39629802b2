"""When a run of one instruction is over, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from clwm_common.messages import Judgement, Mode, Verdict

_JUDGES = 16  # that are listened to: names come from outside, and memory is finite


class Outcome(IntEnum):
    """How a run ended; the values of the RunTask action."""

    SUCCEEDED = 0
    FAILED = 1
    TIMED_OUT = 2
    CANCELLED = 3
    REFUSED = 4


class Verdicts:
    """The last word of every judge. It counts for its own epoch only, whenever it was said."""

    def __init__(self) -> None:
        self._last: dict[str, Verdict] = {}

    def add(self, verdict: Verdict) -> None:
        """Take over what a judge says; a judge too many is not heard."""
        if verdict.judge in self._last or len(self._last) < _JUDGES:
            self._last[verdict.judge] = verdict

    def of(self, epoch: int) -> tuple[Verdict, ...]:
        """What is said of this epoch."""
        return tuple(verdict for verdict in self._last.values() if verdict.task_epoch == epoch)


@dataclass(frozen=True)
class TaskRun:
    """A run that began at `started_at` [s] and may take `timeout` [s]."""

    started_at: float
    timeout: float

    def judge(
        self,
        now: float,
        verdicts: Sequence[Verdict],
        *,
        is_current: bool,
        mode: Mode,
        fault: str = "",
        denial: str = "",
        waiting: str = "",
    ) -> tuple[Outcome, str] | None:
        """The outcome and the reason for it, or None while the run goes on.

        verdicts: on the present epoch. is_current: no other task was set meanwhile. denial: why the policy will not do
        it; waiting: why it has not yet.
        """
        if not is_current:
            return Outcome.CANCELLED, "another task was set"
        for outcome, judgement in ((Outcome.FAILED, Judgement.FAILED), (Outcome.SUCCEEDED, Judgement.SUCCEEDED)):
            for verdict in verdicts:
                if verdict.outcome is judgement:
                    return outcome, f"{verdict.judge}: {verdict.reason}" if verdict.reason else ""
        if denial:
            return Outcome.FAILED, denial
        if mode is not Mode.POLICY and fault:
            return Outcome.FAILED, fault
        if mode is Mode.ESTOP:
            return Outcome.CANCELLED, "emergency stop"
        if now - self.started_at >= self.timeout:
            notes = [f"not finished after {self.timeout:g} s", remark(verdicts, waiting) or _unheard(verdicts)]
            return Outcome.TIMED_OUT, "; ".join(note for note in notes if note)
        return None


def remark(verdicts: Sequence[Verdict], waiting: str) -> str:
    """What an operator should know of a run that goes on: what is waited for, and that nobody can judge it."""
    notes = [f"waiting: {waiting}"] if waiting else []
    if verdicts and all(verdict.outcome is Judgement.UNJUDGED for verdict in verdicts):
        notes.append("nobody can judge this task: " + "; ".join(verdict.reason for verdict in verdicts))
    return "; ".join(notes)


def _unheard(verdicts: Sequence[Verdict]) -> str:
    return "" if verdicts else "nobody judged it: no verdict came on /clwm/verdict"
