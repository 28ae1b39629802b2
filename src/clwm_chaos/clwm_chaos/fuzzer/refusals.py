"""What the policy's refusals demand of the executor, kept apart from it."""

from __future__ import annotations

import math

from clwm_common.messages import ChunkRefusal
from clwm_sai_executor.tasks.task_epoch import ASK_AGAIN


class Refusals:
    """is_denied: nothing may be asked before another epoch, or an operator's order. asks_from [s]: nor before then."""

    def __init__(self) -> None:
        self.forgive()

    def take(self, refusal: ChunkRefusal, now: float) -> None:
        """A refusal of the request that is waited for."""
        if refusal.may_pass:
            self.asks_from = now + ASK_AGAIN
        else:
            self.is_denied = True

    def forgive(self) -> None:
        """Another epoch began, or an operator said POLICY."""
        self.is_denied, self.asks_from = False, -math.inf

    def problem(self, now: float) -> str:
        """Why a request at `now` [s] breaks them; empty when it does not."""
        if self.is_denied:
            return "was asked for in an epoch that the policy has refused"
        early = self.asks_from - now
        return f"was asked for {early:.3f} s before the policy may be asked again" if early > 1e-6 else ""
