"""EmbodiChain's online data streaming: workers simulate while the learner learns, and nothing goes through disk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from pydantic import PositiveInt

from clwm_common.files.config_files import Settings
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError
from clwm_embodichain.episodes.schedule import Schedule
from clwm_embodichain.stream.pool import TrajectoryPool
from clwm_embodichain.stream.state import StreamState
from clwm_embodichain.stream.workers import SimulationWorkers
from clwm_embodichain.training.policy.samples import Samples

_LOSSES = 3  # of a worker in a row, without an episode in between
_LOOK_EVERY = 0.01  # s
_SILENCE = 180.0  # s without a sign of life after which a worker counts as hung; an episode takes it seconds
_PATIENCE = _LOSSES + 1.0  # silences for which the learner waits for a trajectory: longer than for hung workers


@dataclass(frozen=True)
class StreamCounts:
    """What went through an engine so far. walks: through trajectories, by all streams; simulated, failed: episodes of
    the workers; learner_waited, workers_waited: seconds, the former since `begin`, the latter of all workers together.
    age: s from a trajectory's coming to a walk through it, on average; reuses: how many trajectories were walked
    through so often; rejected: share of the episodes that failed, by goal.
    """

    state: str
    trajectories: int
    observations: int
    walks: int
    simulated: int
    failed: int
    learner_waited: float
    workers_waited: float
    restarts: int
    age: float
    reuses: dict[int, int]
    rejected: dict[str, float]


class OnlineSettings(Settings):
    """workers: that simulate; reuse: walks through a trajectory at most; capacity: trajectories at hand at once;
    fitted_on: those that the coding is fitted on; looks: in which each episode is seen, a trajectory each. Raises
    ValueError for a number below 1.
    """

    workers: PositiveInt = 1
    reuse: PositiveInt = 10
    capacity: PositiveInt = 64
    fitted_on: PositiveInt = 64
    looks: PositiveInt = 1


class OnlineEngine(AbstractContextManager):
    """Trajectories, fresh from simulation, as training samples. Use as a context manager, from one thread.

    `collect` what the coding is fitted on, `begin` with that coding, then `draw` without end. All three raise
    PolicyDataError when a worker keeps dying, or being silent, before it has simulated anything, and when nothing comes
    although all seem alive: the learner never waits for ever.
    """

    def __init__(
        self, workers: SimulationWorkers, settings: OnlineSettings, *, seed: int = 0, silence: float = _SILENCE
    ) -> None:
        """seed: of the order in which trajectories are drawn; silence: s after which a worker without a sign of life is
        replaced. Entering the context enters that of the workers, and raises what it does.
        """
        self._pool: TrajectoryPool[Samples] = TrajectoryPool(settings.capacity, settings.reuse)
        self._workers = workers
        self._generator = np.random.default_rng(seed)
        self._looks, self._seen = settings.looks, deque[FeatureEpisode]()
        self._first: list[FeatureEpisode] = []
        self._losses, self._made = [0] * workers.count, [0] * workers.count
        self._observations = self._restarts = 0
        self._waited = 0.0
        self.silence = silence
        self._heard = [(-1, 0.0)] * workers.count  # of each worker its last count of beats, and when it was new
        self._came_at = 0.0
        self.state = StreamState.CREATED

    def __enter__(self) -> OnlineEngine:
        self._workers.__enter__()
        self.state = self.state.then(StreamState.STARTING)
        self._came_at = time.monotonic()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        has_failed = error is not None and issubclass(error, PolicyDataError)
        self.state = self.state.then(StreamState.FAILED if has_failed else StreamState.STOPPED)
        self._workers.__exit__()

    def collect(self, count: int, on_progress: Callable[[int], None] = lambda done: None) -> list[FeatureEpisode]:
        """The first `count` trajectories, at most as many as the pool holds; `begin` puts them into it."""
        if count > self._pool.capacity:
            raise ValueError(f"{count} trajectories do not fit into a pool of {self._pool.capacity}")
        while len(self._first) < count:
            if (episode := self._take()) is None:
                self._rest()
            else:
                self._first.append(episode)
                on_progress(len(self._first))
        return self._first

    def begin(self, code: Callable[[FeatureEpisode], Samples]) -> None:
        """From here on trajectories become samples by `code`, once each, as they come in."""
        self._code = code
        for episode in self._first:
            self._add(episode)
        self._first, self._waited = [], 0.0

    def draw(self) -> Samples:
        """One trajectory's samples. Waits when all at hand have been used up."""
        self._take_in()
        self._came_at = time.monotonic()  # what came before there was a need does not count as waiting
        while (drawn := self._pool.draw(self._generator, time.monotonic())) is None:
            self._rest()
            self._take_in()
        return drawn

    @property
    def next_seed(self) -> int:
        """Seeds from here on have not been played."""
        return int(self._workers.told["next_seed"].max())

    def counts(self) -> StreamCounts:
        told = self._workers.told
        return StreamCounts(
            trajectories=self._pool.added,
            observations=self._observations,
            walks=self._pool.drawn,
            state=self.state.value,
            simulated=int(told["made"].sum()),
            failed=int(told["failed"].sum()),
            learner_waited=self._waited,
            workers_waited=float(told["waited"].sum()),
            restarts=self._restarts,
            age=self._pool.age / max(1, self._pool.drawn),
            reuses=self._pool.reuses,
            rejected=self._rejected(),
        )

    def follow(self, schedule: Schedule) -> None:
        """Play goals by this schedule from the next episodes on."""
        self._workers.follow(schedule)

    def _rejected(self) -> dict[str, float]:
        made, failed = (self._workers.told[name].sum(axis=0) for name in ("made", "failed"))
        names = map(str, self._workers.choices)
        return {name: n / (n + m) for name, m, n in zip(names, made.tolist(), failed.tolist(), strict=True) if n + m}

    def _take_in(self) -> None:
        while self._pool.has_room and (episode := self._take()) is not None:
            self._add(episode)
        self._look_after_workers()

    def _take(self) -> FeatureEpisode | None:
        if not self._seen and (episode := self._workers.take()) is not None:
            self._seen.extend(episode.in_each_look(self._looks))
            self._came_at = time.monotonic()
            if self.state is StreamState.STARTING:
                self.state = self.state.then(StreamState.READY)
        return self._seen.popleft() if self._seen else None

    def _add(self, episode: FeatureEpisode) -> None:
        self._pool.add(self._code(episode), time.monotonic())
        self._observations += len(episode.image_rows)

    def _rest(self) -> None:
        began = time.monotonic()
        self._look_after_workers()
        if began - self._came_at > _PATIENCE * self.silence:
            counts = self.counts()
            raise PolicyDataError(
                f"no trajectory came within {_PATIENCE * self.silence:.0f} s: {counts.simulated} episodes succeeded, "
                f"{counts.failed} failed so far; see what the workers say above, and `clwm doctor`"
            )
        time.sleep(_LOOK_EVERY)
        self._waited += time.monotonic() - began

    def _look_after_workers(self) -> None:
        self._workers.listen()
        for worker in range(self._workers.count):
            ending = self._workers.ending(worker)
            if ending is None and self._is_silent(worker):
                ending = f"gave no sign of life for {self.silence:.0f} s"
            if ending is None:
                continue
            made = int(self._workers.told["made"][worker].sum())
            self._losses[worker] = 1 if made > self._made[worker] else self._losses[worker] + 1
            self._made[worker] = made
            if self._losses[worker] == _LOSSES:
                raise PolicyDataError(
                    f"simulation worker {worker} {ending}, and {_LOSSES} times was lost without an "
                    "episode; its last words are above, and `clwm doctor` checks the installation"
                )
            self._restarts += 1
            self._workers.replace(worker)
            self._heard[worker] = -1, 0.0

    def _is_silent(self, worker: int) -> bool:
        beats, now = int(self._workers.told["beats"][worker]), time.monotonic()
        if beats != self._heard[worker][0]:
            self._heard[worker] = beats, now
        return now - self._heard[worker][1] > self.silence
