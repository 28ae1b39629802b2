"""The request in flight and the answer to it: how chunks of the policy continue the path."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clwm_common.messages import ActionChunk
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.checks.chunk_check import ChunkCheck
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import CancelChunk, RequestChunk
from clwm_sai_executor.path.motion import Motion
from clwm_sai_executor.path.pose_solver import PoseSolver
from clwm_sai_executor.requests.chunk_records import ChunkRecords
from clwm_sai_executor.requests.next_request import Pending, RequestComposer
from clwm_sai_executor.tasks.task_epoch import TaskEpoch


class ChunkExchange:
    """One request at a time; when to ask and to cancel is for the scheduler to say.

    pending: the request in flight. busy_from: instant [s] from which rows of chunks run without a gap.
    """

    def __init__(
        self, robot: RobotDescription, config: SchedulerConfig, motion: Motion, solver: PoseSolver | None
    ) -> None:
        """solver: makes joints of poses; without one only joints can be followed."""
        self._timeout = config.chunk_timeout
        self._motion = motion
        self._check = ChunkCheck(robot, config, solver)
        self.records = ChunkRecords(config)
        self.composer = RequestComposer(self.records.horizon, config, motion)
        self.pending: Pending | None = None
        self.busy_from = math.inf

    @property
    def pending_id(self) -> int | None:
        """Id of the chunk that is waited for."""
        return self.pending.request.chunk_id if self.pending else None

    def awaits(self, chunk_id: int, task_epoch: int) -> bool:
        """Whether this is the request in flight."""
        return self.pending is not None and (self.pending_id, self.pending.request.task_epoch) == (chunk_id, task_epoch)

    def overdue(self, now: float) -> str:
        """Why the chunk will not come any more; empty while it may."""
        if self.pending is None or now <= self.pending.request.observe_at + self._timeout:
            return ""
        text = f"chunk {self.pending_id} has not come {self._timeout} s after its observation"
        return f"{text}; asking again from rest. Is the policy alive?"

    def ask_from_rest(self, now: float, epoch: TaskEpoch, executed: NDArray[np.float32]) -> RequestChunk:
        """Arms that rest ask for a chunk; executed: rows (n, 30) since the last observation."""
        assert epoch.task is not None
        return self._ask(now, self.composer.from_rest(epoch.task, epoch.number, now, executed))

    def close(self, outcome: str) -> None:
        """The request is answered or dropped without moving the arms."""
        assert self.pending is not None
        self.records.closed(self.pending.request, outcome)
        self.pending = None

    def cancel(self, outcome: str) -> CancelChunk:
        """Drop the branch in flight."""
        assert self.pending is not None
        request = self.pending.request
        self.close(outcome)
        return CancelChunk(request.chunk_id, request.task_epoch)

    def observed(self) -> None:
        """The policy has made the observation: what it must be told next is what is executed since."""
        assert self.pending is not None
        self._motion.observe(self.pending.observed)

    def execute(self, now: float, chunk: ActionChunk, epoch: TaskEpoch) -> RequestChunk:
        """Continue the path with the chunk that was waited for, and ask for the next one.

        Raises ChunkRefused for what must not move the arms, ChunkStale for what is too old to.
        """
        pending, motion = self.pending, self._motion
        assert pending is not None and epoch.task is not None and motion.path is not None
        request = pending.request
        rows = self._check.check(now, chunk, request)
        if not request.at_rest:
            self.records.horizon.answered(motion.path.index_from(now + motion.lead) - pending.observed)
        self.observed()
        if chunk.observation_stamp:
            motion.align(chunk.observation_stamp)
        at, facts = motion.extend(now, pending.follows, rows.joints, rows.openings)
        self.records.executed(now, chunk, pending, motion.path, at, facts, rows.counts)
        if request.at_rest or at != pending.follows:
            self.busy_from = motion.path.time(at)
        self.composer.executed(request.chunk_id)
        row_zero = at + 1 - len(request.committed_prefix)
        return self._ask(now, self.composer.after(row_zero, epoch.task, epoch.number))

    def _ask(self, now: float, pending: Pending) -> RequestChunk:
        self.pending = pending
        self._motion.lead = self.records.horizon.lead
        self.records.asked(now, pending.request)
        return RequestChunk(pending.request)
