"""When a run of one instruction is over, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from clwm_common.messages import Judgement, Mode, Verdict
from clwm_common.verdicts import deciding
from clwm_sai_executor.tasks.own_estimate import OwnEstimate, is_judged


class Outcome(IntEnum):
    """How a run ended; the values of the RunTask action."""

    SUCCEEDED = 0
    FAILED = 1
    TIMED_OUT = 2
    CANCELLED = 3
    REFUSED = 4


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
        estimate: OwnEstimate | None = None,
    ) -> tuple[Outcome, str] | None:
        """The outcome and the reason for it, or None while the run goes on.

        verdicts: on the present epoch. is_current: no other task was set meanwhile. denial: why the policy will not do
        it; waiting: why it has not yet. estimate: the policy's own, where it may end the run.
        """
        if not is_current:
            return Outcome.CANCELLED, "another task was set"
        if (verdict := deciding(verdicts)) is not None:
            outcome = Outcome.SUCCEEDED if verdict.outcome is Judgement.SUCCEEDED else Outcome.FAILED
            return outcome, f"{verdict.judge}: {verdict.reason}" if verdict.reason else ""
        if denial:
            return Outcome.FAILED, denial
        if mode is not Mode.POLICY and fault:
            return Outcome.FAILED, fault
        if mode is Mode.ESTOP:
            return Outcome.CANCELLED, "emergency stop"
        if now - self.started_at >= self.timeout:
            notes = [f"not finished after {self.timeout:g} s"]
            if estimate is not None and not is_judged(verdicts):
                notes += [remark(verdicts, waiting), estimate.last_words]
            else:
                notes.append(remark(verdicts, waiting) or _unheard(verdicts))
            return Outcome.TIMED_OUT, "; ".join(note for note in notes if note)
        return None


def remark(verdicts: Sequence[Verdict], waiting: str, estimate: OwnEstimate | None = None) -> str:
    """What an operator should know of a run that goes on: what is waited for, and who judges it if the world cannot."""
    notes = [f"waiting: {waiting}"] if waiting else []
    if estimate is not None and not is_judged(verdicts):
        notes.append(estimate.note)
    elif verdicts and all(verdict.outcome is Judgement.UNJUDGED for verdict in verdicts):
        notes.append("nobody can judge this task: " + "; ".join(verdict.reason for verdict in verdicts))
    return "; ".join(notes)


def _unheard(verdicts: Sequence[Verdict]) -> str:
    return "" if verdicts else "nobody judged it: no verdict came on /clwm/verdict"
