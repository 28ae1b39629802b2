"""What is written down about every chunk: its record, the metrics, and the pace that follows from them."""

from __future__ import annotations

import math
from collections import Counter

from clwm_common.messages import ActionChunk, ChunkRequest
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.path.splice import Path, SpliceFacts
from clwm_sai_executor.requests.horizon import AdaptiveHorizon
from clwm_sai_executor.requests.metrics import Metrics
from clwm_sai_executor.requests.next_request import Pending
from clwm_sai_executor.requests.timeline import ChunkRecord, Timeline


class ChunkRecords:
    """Moves nothing; the scheduler says what happened."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.metrics = Metrics()
        self.timeline = Timeline()
        self.horizon = AdaptiveHorizon(config)

    def ticked(self, lateness: float) -> None:
        """A tick came `lateness` s after it was due."""
        self.metrics.ticked(lateness)
        self.horizon.ticked(lateness)

    def asked(self, now: float, request: ChunkRequest) -> None:
        self.metrics.count("requests")
        self.timeline.open(ChunkRecord.of(request, now))

    def closed(self, request: ChunkRequest, outcome: str) -> None:
        """The request is answered or dropped without moving the arms."""
        record = self.timeline.get(request.chunk_id)
        if record is not None:
            record.outcome = outcome
        if outcome == "timed_out":
            self.metrics.count("timeouts")
            self.horizon.restart()
        if outcome in ("cancelled", "timed_out"):
            self.metrics.count("cancelled")
        if outcome == "refused":
            self.metrics.count("refused")

    def ran_out(self, pending: Pending, rows_end: float) -> None:
        """The rows ended at `rows_end` s, and the chunk that follows them is not there."""
        self.metrics.count("stalls")
        pending.stalled_at = rows_end

    def executed(
        self, now: float, chunk: ActionChunk, pending: Pending, path: Path, at: int, facts: SpliceFacts, counts: Counter
    ) -> None:
        """The chunk's rows follow knot `at` of the path; counts: what was brought inside its rules."""
        request = pending.request
        is_late = not request.at_rest and at != pending.follows
        if is_late and math.isnan(pending.stalled_at):
            self.ran_out(pending, now)
        record = self.timeline.get(request.chunk_id)
        if record is not None:
            record.execute(chunk, request, now, path.time(at), path.time(at + 1), path.time(path.last_row))
            record.stall = path.time(at) - pending.stalled_at if is_late else 0.0
            record.tell(facts)
            self.metrics.executed(record, facts)
        for what, count in counts.items():
            self.metrics.count(what, count)
