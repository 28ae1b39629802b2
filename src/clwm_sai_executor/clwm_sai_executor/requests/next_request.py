"""Which chunk to ask for next: the instant of its observation, the rows committed until it comes, the task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS
from clwm_common.messages import ChunkRequest, MemoryPolicy, RefusalKind
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import TaskSet
from clwm_sai_executor.path.motion import Motion
from clwm_sai_executor.requests.horizon import AdaptiveHorizon

NO_ROWS = np.zeros((0, ACTION_DIM), np.float32)


@dataclass
class Pending:
    """A request in flight. follows: knot of its row p-1; observed: knot of its row 0; both of the path as it is now."""

    request: ChunkRequest
    follows: int
    observed: int
    stalled_at: float = math.nan


class RequestComposer:
    """Composes requests; their ids grow by one. executed_id: the chunk that was sent to the arms last; 0: none yet."""

    def __init__(self, horizon: AdaptiveHorizon, config: SchedulerConfig, motion: Motion) -> None:
        self._horizon = horizon
        self._config = config
        self._motion = motion
        self._next_id = 1
        self._owes_reset = False
        self._owes_restoring: str | None = None
        self.executed_id = 0

    def start_epoch(self, memory_policy: MemoryPolicy, instruction: str) -> None:
        """What the next requests say about the memory.

        KEEP does not undo what was ordered before and has not been carried out yet: a RESET, or a RESTORE of the memory
        of the same `instruction`.
        """
        match memory_policy:
            case MemoryPolicy.RESET:
                self._owes_reset, self._owes_restoring = True, None
            case MemoryPolicy.RESTORE:
                self._owes_restoring = instruction

    def executed(self, chunk_id: int) -> None:
        """A chunk of the present epoch moves the arms: the policy has done to its memory what was asked."""
        self._owes_reset, self._owes_restoring = False, None
        self.executed_id = chunk_id

    def declined(self, kind: RefusalKind) -> None:
        """The policy makes no chunk; when it has nothing to restore, what it was owed before is owed again."""
        if kind is RefusalKind.SNAPSHOT:
            self._owes_restoring = None

    def from_rest(self, task: TaskSet, epoch: int, observe_at: float, executed: NDArray[np.float32]) -> Pending:
        """For arms that rest, or will from `observe_at` on, at the end of the path: one committed row, the held one."""
        path = self._motion.path
        assert path is not None
        needed_by = observe_at + self._config.chunk_timeout
        return self._compose(task, epoch, path.last, path.last, observe_at, needed_by, executed, at_rest=True)

    def after(self, row_zero: int, task: TaskSet, epoch: int) -> Pending:
        """For the chunk after the one whose row 0 is knot `row_zero`: observed while that one still moves the arms.

        With all rows in the execution horizon there is no committed tail: it is observed when the arms rest again.
        """
        motion, horizon = self._motion, self._horizon.rows
        path = motion.path
        assert path is not None
        if horizon >= CHUNK_ROWS:
            return self.from_rest(task, epoch, path.time(path.last), motion.rows(motion.observed, path.last + 1))
        observed, follows = row_zero + horizon, path.last_row
        needed_by = path.time(follows) - self._horizon.lead
        executed = motion.rows(motion.observed, observed)
        return self._compose(task, epoch, observed, follows, path.time(observed), needed_by, executed, at_rest=False)

    def _compose(
        self,
        task: TaskSet,
        epoch: int,
        observed: int,
        follows: int,
        observe_at: float,
        needed_by: float,
        executed: NDArray[np.float32],
        *,
        at_rest: bool,
    ) -> Pending:
        request = ChunkRequest(
            chunk_id=self._next_id,
            task_epoch=epoch,
            observe_at=observe_at,
            needed_by=needed_by,
            committed_prefix=self._motion.rows(observed, follows + 1),
            executed_rows=executed,
            instruction=task.instruction,
            memory_policy=self._memory_policy(task.instruction),
            episode_seed=task.episode_seed,
            at_rest=at_rest,
            executed_chunk_id=self.executed_id,
        )
        self._next_id += 1
        return Pending(request, follows, observed)

    def _memory_policy(self, instruction: str) -> MemoryPolicy:
        if self._owes_restoring == instruction:
            return MemoryPolicy.RESTORE
        return MemoryPolicy.RESET if self._owes_reset else MemoryPolicy.KEEP
