"""A policy that nobody would want: random motions, random latencies, losses, repetitions, nonsense."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clwm_chaos.fuzzer.arms import random_joints
from clwm_common.actions import CHUNK_ROWS, GRIPPERS, JOINTS, ROW_DT
from clwm_common.messages import ActionChunk, ChunkRefusal, ChunkRequest, RefusalKind
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.events import ChunkArrived, ChunkUnreadable, RefusalArrived

Array = NDArray[np.float64]

# What happens to a request, and how often. Latencies are drawn per answer.
FATES = {
    "in time": 0.83,
    "late": 0.06,
    "after the time-out": 0.01,
    "lost": 0.01,
    "twice": 0.02,
    "old epoch": 0.01,
    "old id": 0.01,
    "gross": 0.015,
    "unreadable": 0.005,
    "refused": 0.005,
    "not yet": 0.01,
    "refused and made": 0.005,
    "refusal of another": 0.01,
}
MOTIONS = ("wander", "zigzag", "runaway", "limits", "rest")
_FATE_NAMES, _FATE_ENDS = tuple(FATES), np.cumsum(list(FATES.values())).tolist()


@dataclass(frozen=True)
class Answer:
    """What reaches the executor, and when. is_valid: it answers its request and obeys the layout."""

    at: float
    event: ChunkArrived | ChunkUnreadable | RefusalArrived
    is_valid: bool


class RestlessPolicy:
    """Answers requests; the same generator, the same answers."""

    def __init__(self, robot: RobotDescription, rng: np.random.Generator, refuse_step: float) -> None:
        """refuse_step: largest step [rad] from row to row that the executor takes."""
        self._robot = robot
        self._rng = rng
        self._step = 0.98 * refuse_step
        grippers = [arm.gripper for arm in robot.arms]
        self._openings = (
            [gripper.opening_min - 0.01 for gripper in grippers],
            [gripper.opening_max + 0.01 for gripper in grippers],
        )

    def answer(self, request: ChunkRequest, now: float, timeout: float) -> tuple[str, list[Answer]]:
        """The request's fate and what comes of it; timeout: when the executor gives up, after the observation."""
        rng = self._rng
        fate = _FATE_NAMES[min(bisect_left(_FATE_ENDS, rng.random()), len(FATES) - 1)]
        start = max(now, request.observe_at)
        at = start + rng.uniform(0.02, 0.2)
        if fate == "late":
            at = start + rng.uniform(0.2, 0.9 * timeout)
        elif fate == "after the time-out":
            at = start + timeout + rng.uniform(0.01, 2.0)
        if fate == "lost":
            return fate, []
        if fate == "unreadable":
            return fate, [Answer(at, ChunkUnreadable(request.chunk_id, "layout version 9"), False)]
        refusal = ChunkRefusal(request.chunk_id, request.task_epoch, RefusalKind.REQUEST, "not like this")
        passing = replace(refusal, kind=RefusalKind.NO_OBSERVATION, may_pass=True)
        if fate == "refused":
            return fate, [Answer(at, RefusalArrived(refusal), False)]
        if fate == "not yet":
            return fate, [Answer(at, RefusalArrived(passing), False)]
        chunk = self._chunk(request)
        if fate == "refused and made":
            # The chunk comes for a request that is over.
            return fate, [Answer(at, RefusalArrived(passing), False), Answer(at + 0.05, ChunkArrived(chunk), False)]
        if fate == "gross":
            return fate, [Answer(at, ChunkArrived(self._spoil(chunk)), False)]
        good = Answer(at, ChunkArrived(chunk), True)
        if fate == "twice":
            return fate, [good, replace(good, at=at + rng.choice([0.0, 0.3]))]
        if fate == "refusal of another":
            other = replace(refusal, chunk_id=max(0, refusal.chunk_id - int(rng.integers(1, 4))))
            if rng.random() < 0.5:
                other = replace(refusal, task_epoch=refusal.task_epoch - 1)
            return fate, [Answer(at - 0.01, RefusalArrived(other), False), good]
        if fate == "old epoch":
            old = replace(chunk, task_epoch=chunk.task_epoch - 1)
            return fate, [Answer(at - 0.01, ChunkArrived(old), False), good]
        if fate == "old id":
            old = replace(chunk, chunk_id=max(0, chunk.chunk_id - int(rng.integers(1, 4))))
            return fate, [Answer(at - 0.01, ChunkArrived(old), False), good]
        return fate, [good]

    def _chunk(self, request: ChunkRequest) -> ActionChunk:
        prefix = request.committed_prefix
        rows = np.empty((CHUNK_ROWS, 30), np.float32)
        rows[: len(prefix)], rows[len(prefix) :] = prefix, prefix[-1]
        joints = self._motion(prefix[-1, JOINTS].astype(np.float64), CHUNK_ROWS - len(prefix))
        rows[len(prefix) :, JOINTS] = joints
        if self._rng.random() < 0.2:
            rows[len(prefix) :, GRIPPERS] = self._rng.uniform(*self._openings)
        return ActionChunk(
            request.chunk_id,
            request.task_epoch,
            request.observe_at,
            rows,
            prefix_rows=len(prefix),
            observation_stamp=request.observe_at + self._rng.uniform(-0.025, 0.025),
        )

    def _motion(self, start: Array, count: int) -> Array:
        """Joints (count, 14) after `start`, no two rows farther apart than the executor takes."""
        rng = self._rng
        match MOTIONS[int(rng.integers(len(MOTIONS)))]:
            case "wander":
                speeds = np.cumsum(rng.standard_normal((count, 14)) * rng.choice([0.02, 0.2, 2.0]), axis=0)
                steps = speeds * ROW_DT + 0.1 / count * (self._robot.home - start)
            case "zigzag":
                signs = np.where(np.arange(count) % int(rng.integers(1, 4)) == 0, 1.0, -1.0)
                steps = signs[:, None] * rng.uniform(-self._step, self._step, 14)
            case "runaway":
                steps = np.repeat(rng.uniform(-self._step, self._step, (1, 14)), count, axis=0)
            case "limits":
                goal = random_joints(self._robot, rng, share=float(rng.choice([0.5, 1.0, 1.2])))
                steps = np.repeat((goal - start)[None] / count, count, axis=0)
            case _:
                return np.repeat(start[None], count, axis=0)
        return start + np.cumsum(np.clip(steps, -self._step, self._step), axis=0)

    def _spoil(self, chunk: ActionChunk) -> ActionChunk:
        rng = self._rng
        rows = chunk.rows.copy()
        row, channel = int(rng.integers(chunk.prefix_rows, CHUNK_ROWS)), int(rng.integers(30))
        joint = JOINTS.start + int(self._robot.channels[channel % len(self._robot.channels)])
        match int(rng.integers(6)):
            case 0:
                rows[row, channel] = rng.choice([np.nan, np.inf, -np.inf])
            case 1:
                rows[row, joint] += rng.choice([-1.0, 1.0]) * rng.uniform(3.0 * self._step, 100.0)
            case 2:
                rows[0, joint] += rng.choice([-0.5, 0.5])
            case 3:
                rows = rows[:, :29]
            case 4:
                return replace(chunk, layout_version=chunk.layout_version + 1)
            case _:
                return replace(chunk, dt=2.0 * chunk.dt)
        return replace(chunk, rows=rows)
