"""The task that is asked of the policy under one number, and what the policy has against it. No clock, no ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clwm_common.messages import ChunkRefusal
from clwm_sai_executor.events import Report, TaskSet

ASK_AGAIN = 0.5  # s after a refusal that may pass until the policy is asked again


@dataclass
class TaskEpoch:
    """Its number grows whenever all begins anew: another task, or a world that was reset.

    has_moved: chunks moved the arms in it; was_steered: a human did. denial: why the policy will not answer in this
    epoch; waiting: why it has not yet. Both are empty when all is well, and neither outlives the epoch.
    """

    number: int
    began_at: float = 0.0
    task: TaskSet | None = None
    has_moved: bool = False
    was_steered: bool = False
    denial: str = ""
    waiting: str = ""
    _asks_from: float = -math.inf

    def begin(self, now: float) -> None:
        """The next epoch, with the same task until another one is set."""
        self.number += 1
        self.began_at = now
        self.has_moved = self.was_steered = False
        self.forgive()

    def may_ask(self, now: float) -> bool:
        """Whether a chunk may be asked for."""
        return self.task is not None and not self.denial and now >= self._asks_from

    def wait(self, why: str, until: float = -math.inf) -> None:
        """Nothing is asked before `until` [s]."""
        self.waiting, self._asks_from = why, until

    def decline(self, now: float, refusal: ChunkRefusal) -> list[Report]:
        """The policy makes no chunk. Returns what is to be logged: a refusal that is repeated is told once."""
        if refusal.may_pass:
            was_waiting = self.waiting
            self.wait(refusal.reason, now + ASK_AGAIN)
            return [] if was_waiting else [Report("warning", f"the policy makes no chunk yet: {refusal.reason}")]
        self.denial = refusal.reason
        words = self.task.instruction if self.task else ""
        text = f"the policy will not do {words!r}: {refusal.reason}"
        return [Report("error", f"{text}. Give another task, or set the mode to POLICY to ask again")]

    def forgive(self) -> None:
        """Ask again at once, whatever was refused before."""
        self.denial = self.waiting = ""
        self._asks_from = -math.inf

    def end(self) -> None:
        """Nothing is asked any more."""
        self.task = None
        self.forgive()
