"""Many runs of the virtual-clock fuzzer, over processes, and their report."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clwm_common.provenance import commit, machine
from clwm_common.robot import RobotDescription
from clwm_embodichain.chaos_run import FuzzRun, RunResult

CHUNKS_PER_RUN = 500
_EXAMPLES = 20


@dataclass(frozen=True)
class FuzzSettings:
    """What to fuzz. only_run: number of the one run to do again; None for all."""

    chunks: int
    seed: int
    robot: str = "dual_fr3_mujoco"
    workers: int = 1
    only_run: int | None = None

    @property
    def jobs(self) -> list[tuple[str, int, int, int]]:
        """Robot, seed, number and chunks of every run; the same for any number of workers."""
        if self.only_run is not None:
            return [(self.robot, self.seed, self.only_run, CHUNKS_PER_RUN)]
        full, rest = divmod(self.chunks, CHUNKS_PER_RUN)
        sizes = [CHUNKS_PER_RUN] * full + ([rest] if rest else [])
        return [(self.robot, self.seed, run, size) for run, size in enumerate(sizes)]


def run_fuzzer(settings: FuzzSettings, on_run: Callable[[RunResult], None] | None = None) -> dict[str, Any]:
    """Run all and return the report as `--json` writes it; on_run is called as runs finish, in any order.

    The first violation of a run does not end it; a dead-lock does.
    """
    began = time.perf_counter()
    total = RunResult()
    with _running(settings) as results:
        for result in results:
            total.chunks += result.chunks
            total.virtual_seconds += result.virtual_seconds
            total.counts += result.counts
            total.violations += result.violations
            total.deadlocks += result.deadlocks
            if on_run is not None:
                on_run(result)
    return summarise(settings, total, time.perf_counter() - began)


def summarise(settings: FuzzSettings, total: RunResult, seconds: float) -> dict[str, Any]:
    """Plain values. seconds: wall time of all runs; examples name the run to be done again with `--run`."""
    found = sorted([*total.deadlocks, *total.violations], key=lambda one: (one.run, one.at))
    return {
        "violations": len(total.violations),
        "deadlocks": len(total.deadlocks),
        "seed": settings.seed,
        "chunks": total.chunks,
        "virtual_hours": round(total.virtual_seconds / 3600.0, 3),
        "seconds": round(seconds, 1),
        "chunks_per_second": round(total.chunks / seconds, 1),
        "workers": settings.workers,
        "rules": dict(Counter(one.rule for one in found)),
        "examples": [dataclasses.asdict(one) for one in found[:_EXAMPLES]],
        "events": dict(sorted(total.counts.items())),
        "robot": settings.robot,
        "machine": machine(),
        "commit": commit(),
    }


def _run(job: tuple[str, int, int, int]) -> RunResult:
    robot, seed, run, chunks = job
    return FuzzRun(RobotDescription.load(robot), seed, run).run(chunks)


@contextmanager
def _running(settings: FuzzSettings) -> Iterator[Iterator[RunResult]]:
    jobs = settings.jobs
    workers = min(settings.workers, len(jobs))
    if workers == 1:
        yield map(_run, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap_unordered(_run, jobs)
