"""Which chunk to ask for next: the instant of its observation, the rows committed until it comes, the task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS
from clwm_common.messages import ChunkRequest, MemoryPolicy
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import TaskSet
from clwm_sai_executor.horizon import Pace
from clwm_sai_executor.motion import Motion

NO_ROWS = np.zeros((0, ACTION_DIM), np.float32)


@dataclass
class Pending:
    """A request in flight. follows: knot of its row p-1; observed: knot of its row 0; both of the path as it is now."""

    request: ChunkRequest
    follows: int
    observed: int
    stalled_at: float = math.nan


class Asking:
    """Composes requests; their ids grow by one."""

    def __init__(self, pace: Pace, config: SchedulerConfig, motion: Motion) -> None:
        self._pace = pace
        self._config = config
        self._motion = motion
        self._next_id = 1
        self._owed = MemoryPolicy.KEEP

    def start_epoch(self, memory_policy: MemoryPolicy) -> None:
        """What the next requests say about the memory.

        KEEP does not undo a RESET or RESTORE that was ordered before and that the policy has not carried out yet.
        """
        if memory_policy is not MemoryPolicy.KEEP:
            self._owed = memory_policy

    def answered(self) -> None:
        """A chunk of the present epoch has come, so the policy has done to its memory what was asked."""
        self._owed = MemoryPolicy.KEEP

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
        motion, horizon = self._motion, self._pace.horizon
        path = motion.path
        assert path is not None
        if horizon >= CHUNK_ROWS:
            return self.from_rest(task, epoch, path.time(path.last), motion.rows(motion.observed, path.last + 1))
        observed, follows = row_zero + horizon, path.last_row
        needed_by = path.time(follows) - self._pace.lead
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
            memory_policy=self._owed,
            episode_seed=task.episode_seed,
            at_rest=at_rest,
        )
        self._next_id += 1
        return Pending(request, follows, observed)
