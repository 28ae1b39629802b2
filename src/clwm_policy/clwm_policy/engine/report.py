"""How a chunk came about: what took how long, and the report that is worked out once the chunk is away."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from clwm_common.messages import FeatureFrame, SaiReport
from clwm_policy.engine.branch import Branch, Real
from clwm_policy.engine.conversion import Border
from clwm_policy.memory.long_term import LongTermMemory
from clwm_policy.model.feature_scale import relative_error

DIGEST_DIGITS = 16  # of the memory's hash in a report


class Laps:
    """Durations [s] by name, one after another without a gap. stopwatch: seconds of a steady clock."""

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stopwatch = stopwatch
        self._started = self._last = stopwatch()

    def end(self, name: str) -> None:
        """Count the time since the last end under `name`, together with what is there already."""
        now = self._stopwatch()
        self.seconds[name] += now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """From the beginning to the last end."""
        return self._last - self._started


@dataclass(frozen=True)
class Finished:
    """A chunk that is complete, and how that went.

    made: the chunk's own. previous: what predicted its observation, if anything did. laps: `context`, `memory` and
    `finish`. evidence: id and deviation of an earlier chunk. nfe_blocking: after the observation, nfe_idle: before.
    """

    branch: Branch
    frame: FeatureFrame
    made: Real
    previous: Real | None
    policy: str
    laps: Laps
    disagreement: float
    expected_deviation: float
    is_cut: bool
    evidence: tuple[int, float]
    nfe_idle: int
    nfe_blocking: int

    def report(self, border: Border, memory: LongTermMemory) -> SaiReport:
        """All but the stamps that only the shell knows. memory: after the observation was let in."""
        request, program, seconds = self.branch.request, self.made.program, self.laps.seconds
        plan, evidence_chunk_id, evidence_deviation = program.encoded.plan, *self.evidence
        surrogate_error, copy_error = self._surrogate_errors(border)
        return SaiReport(
            chunk_id=request.chunk_id,
            task_epoch=request.task_epoch,
            policy=self.policy,
            observation_stamp=self.frame.stamp,
            encode_seconds=self.frame.encode_seconds,
            context_seconds=seconds["context"],
            memory_seconds=seconds["memory"],
            finish_seconds=seconds["finish"],
            surrogate_error=surrogate_error,
            copy_error=copy_error,
            re_entry_video_s=program.began_at.video / plan.video_steps,
            re_entry_s=program.began_at.action / plan.action_steps,
            disagreement=self.disagreement,
            expected_deviation=self.expected_deviation,
            uncalibrated=self.is_cut,
            steps_cut=program.steps_cut,
            evidence_chunk_id=evidence_chunk_id,
            evidence_deviation=evidence_deviation,
            nfe_total=self.nfe_idle + self.nfe_blocking,
            nfe_blocking=self.nfe_blocking,
            memory_updates=memory.observations,
            memory_digest=memory.digest()[:DIGEST_DIGITS],
        )

    def _surrogate_errors(self, border: Border) -> tuple[float, float]:
        """Relative errors of the predicted feature and of copying the previous one; NaN when none was predicted."""
        if self.previous is None or self.previous.program.own_prediction is None:
            return math.nan, math.nan
        last, actual = self.previous.observation, self.made.observation.normalised
        if (surrogate := self.branch.surrogate) is not None:
            predicted = surrogate.normalised
        else:
            predicted = border.normalised(border.predicted_features(last, self.previous.program.own_prediction))
        return relative_error(predicted, actual), relative_error(last.normalised, actual)
