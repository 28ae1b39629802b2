"""Where the parts of an online training run: in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from clwm_embodichain.cluster.session import ray_session
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.worker import Simulation
from clwm_embodichain.stream.workers import SimulationWorkers
from clwm_embodichain.training.policy.trainer import PolicyTrainer


@dataclass(frozen=True)
class Placement:
    """workers: from what they play and their first seed. trainer: from model, streams, coding, settings and `goals`."""

    workers: Callable[[Simulation, int], SimulationWorkers] = ProcessWorkers
    trainer: Callable[..., Any] = PolicyTrainer


@contextmanager
def on_ray(address: str | None, workers: int, learners: int, threads: int) -> Iterator[Placement]:
    """On the Ray cluster at `address`, or on one that is started on this machine as long as the context.

    learners: with so many threads each; 0 for one, in this process. Raises ClusterError.
    """
    with ray_session(address, workers + learners * threads):
        # These import ray, which need not be installed for anything else.
        from clwm_embodichain.cluster.learner_group import LearnerGroup
        from clwm_embodichain.cluster.ray_workers import RayWorkers

        yield Placement(RayWorkers, partial(LearnerGroup, learners, threads) if learners else PolicyTrainer)
