"""Who may say how a task ended, and whose word counts when several do."""

from __future__ import annotations

from collections.abc import Iterable

from clwm_common.messages import Judgement, Verdict

OPERATOR = "operator"
OWN_ESTIMATE = "the policy's own estimate"
FINAL = (Judgement.FAILED, Judgement.SUCCEEDED)
_JUDGES = 16  # that are listened to: names come from outside, and memory is finite


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


def deciding(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The final one that counts, None when none is final.

    A judge that sees the world has the first word, an operator the second, the policy's own estimate the last; among
    equals failure counts.
    """
    final = [verdict for verdict in verdicts if verdict.outcome in FINAL]
    return min(final, key=lambda it: (_rank(it.judge), it.outcome is Judgement.SUCCEEDED), default=None)


def _rank(judge: str) -> int:
    return (OPERATOR, OWN_ESTIMATE).index(judge) + 1 if judge in (OPERATOR, OWN_ESTIMATE) else 0
