"""Simulation workers as Ray actors on any machine of a cluster, with object references for their trajectories."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError, RayError, RayTaskError

from clwm_embodichain.episodes.choices import GoalChoice
from clwm_embodichain.episodes.features import FeatureEpisode
from clwm_embodichain.episodes.schedule import Schedule, chosen
from clwm_embodichain.stream.worker import Simulation, Simulator
from clwm_embodichain.stream.workers import SLOTS, SimulationWorkers, told_type


class SimulationActor:
    """Plays seeds in the order in which it is asked to, on the machine where Ray puts it."""

    def __init__(self, simulation: Simulation, encoder: Mapping[str, bytes]) -> None:
        """encoder: the files of its folder by name; the folder itself may be on another machine."""
        self._simulation, self._encoder = simulation, encoder

    def arrive(self) -> None:
        """Returns when there is a place for it."""

    def play(self, choice: GoalChoice, seed: int) -> FeatureEpisode | None:
        """The episode of a seed; None when it failed or took too long."""
        return self._simulator.play(choice, seed)

    @cached_property
    def _simulator(self) -> Simulator:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self._encoder.items():
                Path(folder, name).write_bytes(content)
            told = self._simulation
            # Their place is on the learner's machine; on one that shares no files with it they are not kept.
            failures = told.failures if told.failures and told.failures.parent.is_dir() else None
            return Simulator(replace(told, encoder=Path(folder), failures=failures))


@dataclass(frozen=True)
class _Order:
    """choice: which of the simulation's."""

    choice: int
    seed: int


@dataclass
class _Worker:
    """One actor as the driver sees it. asked: answers to come, in order. is_doubted: nothing more is asked of it."""

    actor: Any
    arrival: ray.ObjectRef | None
    asked: deque[tuple[ray.ObjectRef, _Order]] = field(default_factory=deque)
    is_doubted: bool = False
    ending: str | None = None

    @property
    def next_answer(self) -> ray.ObjectRef | None:
        return self.arrival or (self.asked[0][0] if self.asked else None)


class RayWorkers(SimulationWorkers):
    """An actor for each worker, asked for as many episodes as it has slots; needs an open session.

    What is finished comes to the learner's machine as soon as somebody listens. A worker that is lost takes one episode
    with it, which it played or was next to play; others that it had to begin, or could not hand over any more, are
    played again by the next. A worker that has no place in the cluster waits for one.
    """

    def __init__(self, simulation: Simulation, first_seed: int = 0, actor: type = SimulationActor) -> None:
        """actor: what is made where a worker runs, of the simulation and the encoder's files."""
        self.count, self.choices = simulation.workers, simulation.choices
        self.told = np.zeros(self.count, told_type(len(self.choices)))
        self.told["next_seed"] = first_seed + np.arange(self.count)
        failures = simulation.failures and simulation.failures.absolute()
        self._simulation = replace(simulation, failures=failures)
        self.follow(Schedule(self.choices))
        # Placed with one core each, on all machines alike. Ray's own restarts would not be counted.
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._actor = ray.remote(actor).options(**options)
        self._again: list[deque[_Order]] = [deque() for _ in range(self.count)]
        self._finished: list[deque[FeatureEpisode]] = [deque() for _ in range(self.count)]
        self._last_taken = -1

    def __enter__(self) -> RayWorkers:
        folder = self._simulation.encoder
        self._encoder = ray.put({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
        self._listened_at = time.monotonic()
        self._workers = [self._start() for _ in range(self.count)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)

    def follow(self, schedule: Schedule) -> None:
        self._shares = schedule.shares

    def replace(self, worker: int) -> None:
        lost = self._workers[worker]
        ray.kill(lost.actor)
        # The first may be the reason.
        self._again[worker].extend(order for _, order in [*lost.asked][1:])
        self._workers[worker] = self._start()

    def ending(self, worker: int) -> str | None:
        return self._workers[worker].ending

    def listen(self) -> None:
        since, self._listened_at = self._listened_at, time.monotonic()
        while answered := self._answered():
            for index in answered:
                self._hear(index)
        for told, worker in zip(self.told, self._workers, strict=True):
            if worker.asked or worker.ending:
                continue
            if worker.is_doubted:
                worker.ending = "was lost with its machine"
            told["beats"] += 1
            told["waited"] += 0.0 if worker.arrival else self._listened_at - since
        self._ask()

    def take(self) -> FeatureEpisode | None:
        turns = [(self._last_taken + 1 + turn) % self.count for turn in range(self.count)]
        for index in turns:
            if self._finished[index]:
                self._last_taken = index
                return self._finished[index].popleft()
        return None

    def _answered(self) -> list[int]:
        """Workers whose next answer is there."""
        awaited = {
            worker.next_answer: index
            for index, worker in enumerate(self._workers)
            if worker.next_answer is not None and not worker.ending
        }
        there, _ = ray.wait([*awaited], num_returns=len(awaited), timeout=0) if awaited else ([], [])
        return [awaited[reference] for reference in there]

    def _hear(self, index: int) -> None:
        worker, told = self._workers[index], self.told[index]
        try:
            answer = ray.get(worker.next_answer)
        except ObjectLostError:  # finished, and not here yet when its machine was lost; the next answer will tell
            self._again[index].append(worker.asked.popleft()[1])
            worker.is_doubted = True
            return
        except RayError as error:
            worker.ending = f"was lost ({_reason(error)})"
            return
        told["beats"] += 1
        if worker.arrival is not None:
            worker.arrival = None
            return
        _, order = worker.asked.popleft()
        told["made" if answer else "failed"][order.choice] += 1
        if answer:
            self._finished[index].append(_own(answer))

    def _ask(self) -> None:
        for index, worker in enumerate(self._workers):
            if worker.arrival is not None or worker.is_doubted or worker.ending:
                continue
            while len(worker.asked) + len(self._finished[index]) < SLOTS:
                order = self._again[index].popleft() if self._again[index] else self._next(index)
                answer = worker.actor.play.remote(self.choices[order.choice], order.seed)
                worker.asked.append((answer, order))

    def _next(self, index: int) -> _Order:
        seed = int(self.told["next_seed"][index])
        self.told["next_seed"][index] += self.count
        return _Order(chosen(self._shares, seed), seed)

    def _start(self) -> _Worker:
        actor = self._actor.remote(self._simulation, self._encoder)
        return _Worker(actor, actor.arrive.remote())


def _reason(error: RayError) -> str:
    """Of what the worker raised the whole, of what Ray says the last line, after lists of identifiers."""
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return str(error).splitlines()[-1].strip()


def _own(episode: FeatureEpisode) -> FeatureEpisode:
    """A copy outside the object store, whose room is then free again."""
    arrays = {each.name: getattr(episode, each.name) for each in fields(episode)}
    return replace(episode, **{name: it.copy() for name, it in arrays.items() if isinstance(it, np.ndarray)})
