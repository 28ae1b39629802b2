"""Simulation workers as processes of this machine, with shared memory between them and the learner."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess

import numpy as np

from clwm_embodichain.episodes.features import FeatureEpisode
from clwm_embodichain.episodes.schedule import Schedule
from clwm_embodichain.stream.ring import RingLayout, TrajectoryRing
from clwm_embodichain.stream.worker import Simulation, WorkerOrder, work
from clwm_embodichain.stream.workers import SLOTS, SimulationWorkers

_END = 10.0  # s that a worker has to finish its episode


class ProcessWorkers(SimulationWorkers):
    """A process and slots of a ring for each worker."""

    def __init__(
        self, simulation: Simulation, first_seed: int = 0, worker: Callable[[WorkerOrder], None] = work
    ) -> None:
        """worker: what the processes run. Entering the context raises RingError."""
        self.count, self.choices = simulation.workers, simulation.choices
        self._simulation, self._worker, self.first_seed = simulation, worker, first_seed
        self._layout = RingLayout(self.count, SLOTS, simulation.longest, simulation.feature_shape, len(self.choices))
        self.processes: dict[int, SpawnProcess] = {}

    def __enter__(self) -> ProcessWorkers:
        self.ring = TrajectoryRing.create(self._layout)
        self.told = self.ring.writers
        self.follow(Schedule(self.choices))
        self.told["next_seed"] = self.first_seed + np.arange(self.count)
        for worker in range(self.count):
            self._start(worker)
        return self

    def __exit__(self, *_: object) -> None:
        self.ring.stop()
        until = time.monotonic() + _END
        for worker, process in self.processes.items():
            process.join(max(0.0, until - time.monotonic()))
            self._end(worker)
        self.told = self.told.copy()
        self.ring.__exit__()

    def follow(self, schedule: Schedule) -> None:
        self.ring.shares[:] = schedule.shares

    def replace(self, worker: int) -> None:
        self._end(worker)
        self._start(worker)

    def ending(self, worker: int) -> str | None:
        process = self.processes[worker]
        return None if process.is_alive() else f"ended with code {process.exitcode}"

    def take(self) -> FeatureEpisode | None:
        return self.ring.take()

    def _start(self, worker: int) -> None:
        order = WorkerOrder(self.ring.name, self._layout, worker, self._simulation)
        # Spawned: a forked child would share this process's GL context and threads.
        process = multiprocessing.get_context("spawn").Process(
            target=self._worker, args=(order,), name=f"simulation {worker}", daemon=True
        )
        process.start()
        self.processes[worker] = process

    def _end(self, worker: int) -> None:
        self.processes[worker].kill()
        self.processes[worker].join()
