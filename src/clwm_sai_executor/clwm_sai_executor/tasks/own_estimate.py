"""When the policy's own estimate of its success ends a task. No clock, no ROS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clwm_common.messages import Judgement, SaiReport, Verdict
from clwm_common.verdicts import OWN_ESTIMATE


@dataclass(frozen=True)
class Terms:
    """What the policy says of its estimate: done is so many `chunks` in a row of at least `threshold`.

    error: how often that is known to be wrong, for people.
    """

    threshold: float
    chunks: int
    error: str


class OwnEstimate:
    """Follows one task whose giver accepts the estimate. last: what was estimated last, None before anything was."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._epoch: int | None = None
        self._in_a_row = 0
        self.last: float | None = None

    def hear(self, report: SaiReport, now: float, epoch: int, verdicts: Iterable[Verdict]) -> Verdict | None:
        """The verdict, once it says done. epoch: of the task; verdicts: on that epoch.

        It never says that a task has failed, and nothing where somebody else follows the goal. A chunk that the policy
        did not make for this epoch, or whose surprise alarm was raised, does not count.
        """
        if report.task_epoch != epoch:
            return None
        if epoch != self._epoch:
            self._epoch, self._in_a_row = epoch, 0
        self.last = report.success_estimate
        says_done = report.success_estimate >= self._terms.threshold and not report.out_of_distribution
        self._in_a_row = self._in_a_row + 1 if says_done else 0
        if self._in_a_row < self._terms.chunks or is_judged(verdicts):
            return None
        return Verdict(now, epoch, OWN_ESTIMATE, Judgement.SUCCEEDED, reason=self._reason())

    @property
    def note(self) -> str:
        """That it may end the task, for whoever waits."""
        return "nobody else judges this task: the policy's own estimate may end it"

    @property
    def last_words(self) -> str:
        """What it said to the end."""
        last = "nothing was estimated" if self.last is None else f"the policy's last estimate was {self.last:.2f}"
        return f"{last}, it says done from {self._terms.threshold:.2f} on, {self._terms.chunks} chunks in a row"

    def _reason(self) -> str:
        return (
            f"{self.last:.2f}, and at least {self._terms.threshold:.2f} in {self._terms.chunks} chunks in a row; "
            f"nobody else judged it. Known error: {self._terms.error}"
        )


def is_judged(verdicts: Iterable[Verdict]) -> bool:
    """Whether somebody who sees the world, or an operator who has spoken, follows the task."""
    return any(it.judge != OWN_ESTIMATE and it.outcome is not Judgement.UNJUDGED for it in verdicts)
