"""The life of every chunk, from request to first motion: what a timeline picture is drawn from."""

from __future__ import annotations

from collections import OrderedDict, deque

import numpy as np

from clwm_common.messages import ActionChunk, ChunkRequest, ChunkTimeline, SaiReport
from clwm_sai_executor.path.splice import SpliceFacts


class ChunkRecord(ChunkTimeline):
    """Filled in as the chunk lives."""

    @classmethod
    def of(cls, request: ChunkRequest, requested_at: float) -> ChunkRecord:
        """The record of a chunk that has just been asked for."""
        return cls(
            request.chunk_id,
            request.task_epoch,
            requested_at,
            request.observe_at,
            request.needed_by,
            request.at_rest,
            len(request.committed_prefix),
        )

    def execute(
        self,
        chunk: ActionChunk,
        request: ChunkRequest,
        sent_at: float,
        starts_at: float,
        first_motion_at: float,
        rows_end_at: float,
    ) -> None:
        """The chunk has come and was sent on at once."""
        self.outcome = "executed"
        self.arrived_at = self.sent_at = sent_at
        self.observation_stamp = chunk.observation_stamp or request.observe_at
        self.starts_at = starts_at
        self.first_motion_at = first_motion_at
        self.rows_end_at = rows_end_at
        self.re_entry = chunk.re_entry

    def tell(self, facts: SpliceFacts) -> None:
        """How smoothly the chunk was joined on, and how smooth it is itself."""
        self.seam_jump, self.seam_acceleration_jump = facts.seam_jump, facts.seam_acceleration_jump
        if facts.inner_jumps.size:
            self.inner_jump = float(np.median(facts.inner_jumps))
            self.inner_acceleration_jump = float(np.median(facts.inner_acceleration_jumps))

    def is_complete(self, now: float) -> bool:
        """Whether the chunk was answered or dropped, and its report is here or will not come any more."""
        is_overdue = now > max(self.requested_at, self.observe_at) + 1.0
        return self.outcome != "pending" and (self.report is not None or is_overdue)

    @property
    def blocking(self) -> float:
        """Capture of the observation to sending of the first command [s]."""
        return self.sent_at - self.observation_stamp


class Timeline:
    """The last `capacity` chunks by id; the policy's reports are merged in whichever comes first."""

    def __init__(self, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._records: OrderedDict[int, ChunkRecord] = OrderedDict()
        self._early_reports: OrderedDict[int, SaiReport] = OrderedDict()
        self._untold: deque[ChunkRecord] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._records)

    def open(self, record: ChunkRecord) -> None:
        self._records[record.chunk_id] = record
        self._untold.append(record)
        record.report = self._early_reports.pop(record.chunk_id, None)
        while len(self._records) > self._capacity:
            self._records.popitem(last=False)

    def get(self, chunk_id: int) -> ChunkRecord | None:
        return self._records.get(chunk_id)

    def merge(self, report: SaiReport) -> ChunkRecord | None:
        """Add a report to its chunk. Returns the record, or None when no such chunk was asked for lately."""
        record = self._records.get(report.chunk_id)
        if record is None:
            self._early_reports[report.chunk_id] = report
            while len(self._early_reports) > 16:
                self._early_reports.popitem(last=False)
            return None
        record.report = report
        return record

    def take_complete(self, now: float) -> list[ChunkRecord]:
        """Records that nothing will be added to, each once: no longer pending, and reported on or too late for it."""
        complete = [record for record in self._untold if record.is_complete(now)]
        self._untold = deque((record for record in self._untold if not record.is_complete(now)), self._capacity)
        return complete

    def records(self) -> list[ChunkRecord]:
        """Oldest first."""
        return list(self._records.values())
