"""Hundreds of chunks with random latencies, losses and orders: no dead-lock, no jump, no limit exceeded."""

import heapq

import numpy as np
import pytest

from clwm_common.actions import JOINTS, ROW_DT
from clwm_common.messages import Mode
from clwm_sai_executor import events
from clwm_sai_executor.scheduler import Phase

CHUNKS = 250


class RestlessPolicy:
    """Answers with wandering chunks after random latencies; some never, some twice, some late, some broken."""

    def __init__(self, stack, rng) -> None:
        self._stack = stack
        self._rng = rng
        self._queue: list = []
        self._seen = 0
        self.answered = 0

    def collect(self) -> None:
        for request in self._stack.requests[self._seen :]:
            fate = self._rng.random()
            latency = self._rng.uniform(0.03, 0.2) if fate < 0.9 else self._rng.uniform(0.2, 1.5)
            instant = max(request.observe_at, self._stack.now) + latency
            if fate < 0.99:
                heapq.heappush(self._queue, (instant, request.chunk_id, request))
            if fate < 0.05:
                heapq.heappush(self._queue, (instant + 0.01, request.chunk_id + 10**6, request))
        self._seen = len(self._stack.requests)

    def next_instant(self) -> float:
        return self._queue[0][0] if self._queue else np.inf

    def answer(self) -> None:
        _, _, request = heapq.heappop(self._queue)
        self.answered += 1
        chunk = self._stack.chunk(request, speed=0.0)
        count = 16 - len(request.committed_prefix)
        speeds = np.cumsum(self._rng.normal(0.0, self._rng.choice([0.02, 0.2, 2.0]), (count, 14)), axis=0)
        speeds = np.clip(speeds, -3.0, 3.0)
        chunk.rows[-count:, JOINTS] += np.cumsum(speeds, axis=0) * ROW_DT
        home_pull = 0.1 * (self._stack.robot.home - chunk.rows[-count:, JOINTS])
        chunk.rows[-count:, JOINTS] += home_pull * np.linspace(0.0, 1.0, count)[:, None]
        self._stack.do(events.ChunkArrived(chunk))


@pytest.mark.parametrize("seed", [1, 2])
def test_chunks_at_random_times_never_jump_and_never_dead_lock(make_stack, limits, seed):
    rng = np.random.default_rng(seed)
    stack = make_stack(chunk_timeout=1.0, refuse_step=1.0)
    policy = RestlessPolicy(stack, rng)
    stack.begin()
    executed_at, messages = stack.now, 0
    while stack.scheduler.metrics.counted("chunks") < CHUNKS:
        policy.collect()
        stack.now = min(stack.now + rng.uniform(0.005, 0.15), policy.next_instant())
        stack.measure()
        if policy.next_instant() <= stack.now + 1e-9:
            policy.answer()
        elif rng.random() < 2e-3:
            stack.do(events.TaskSet("something else"))
        elif rng.random() < 1e-3:
            stack.hold()
        if stack.scheduler.mode is Mode.HOLD and rng.random() < 0.1:
            stack.resume()
        if len(stack.controller.messages) > messages:
            check_seam(stack, limits)
            messages, executed_at = len(stack.controller.messages), stack.now
            del stack.controller.messages[:-2]
            messages = len(stack.controller.messages)
        assert stack.now - executed_at < 10.0, (
            f"nothing sent for 10 s in {stack.scheduler.phase}, {stack.scheduler.mode}"
        )
        assert (stack.scheduler.phase in (Phase.ASKED, Phase.MOVING, Phase.STALLED)) == (
            stack.scheduler.pending_id is not None
        )
    summary = stack.scheduler.metrics.summary()
    assert summary["stalls"] > 0 and summary["timeouts"] > 0 and summary["dropped"] > 0


def check_seam(stack, limits):
    """What the controllers execute goes on unchanged from now to one lead ahead, and stays within limits to its end."""
    new, old = stack.controller.messages[-1], stack.controller.messages[-2:-1]
    if old:
        for instant in (stack.now, stack.now + 0.0199):
            before, after = stack.controller.sample(instant, old[0]), stack.controller.sample(instant, new)
            np.testing.assert_allclose(after[0], before[0], atol=1e-9)
            np.testing.assert_allclose(after[1], before[1], atol=1e-7)
    for arm, message in enumerate(new):
        part = slice(7 * arm, 7 * arm + 7)
        q, v = message.positions, message.velocities
        dt = np.diff(message.times_from_start)[:, None]
        way = np.diff(q, axis=0) / dt
        bound = limits.acceleration[part] * (1 + 1e-4) + 1e-3
        assert (np.abs(6 * way - 4 * v[:-1] - 2 * v[1:]) / dt <= bound).all()
        assert (np.abs(-6 * way + 2 * v[:-1] + 4 * v[1:]) / dt <= bound).all()
        assert (np.abs(v) <= limits.velocity[part] * (1 + 1e-6)).all()
        assert (q >= limits.lower[part]).all() and (q <= limits.upper[part]).all()
        assert not v[-1].any()
