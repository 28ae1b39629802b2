"""Many runs of the virtual-clock fuzzer, over processes, and their report."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clwm_chaos.fuzzer.result import RunResult
from clwm_chaos.fuzzer.run import FuzzRun
from clwm_common.provenance import commit, machine
from clwm_common.robot.description import RobotDescription

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

    The first violation of a run does not end it; a dead-lock does. KeyboardInterrupt ends it early: the report is then
    of the runs that had finished, and `is_complete` is false.
    """
    began = time.perf_counter()
    total = RunResult()
    finished = 0
    try:
        with _running(settings) as results:
            for result in results:
                finished += 1
                total.add(result)
                if on_run is not None:
                    on_run(result)
    except KeyboardInterrupt:
        pass
    return summarise(settings, total, finished, time.perf_counter() - began)


def summarise(settings: FuzzSettings, total: RunResult, finished: int, seconds: float) -> dict[str, Any]:
    """Plain values. finished: runs that `total` is of; seconds: wall time; examples name the run for `--run`."""
    found = sorted([*total.deadlocks, *total.violations], key=lambda one: (one.run, one.at))
    return {
        "violations": len(total.violations),
        "deadlocks": len(total.deadlocks),
        "stale_epoch_rows": sum(one.rule == "stale rows" for one in found),
        "seed": settings.seed,
        "chunks": total.chunks,
        "is_complete": finished == len(settings.jobs),
        "virtual_hours": round(total.virtual_seconds / 3600.0, 3),
        "seconds": round(seconds, 1),
        "chunks_per_second": round(total.chunks / seconds, 1),
        "cpu_ms_per_chunk": round(1e3 * total.cpu_seconds / max(total.chunks, 1), 3),
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
    return FuzzRun(_robot(robot), seed, run).run(chunks)


@functools.cache
def _robot(name: str) -> RobotDescription:
    return RobotDescription.load(name)


@contextmanager
def _running(settings: FuzzSettings) -> Iterator[Iterator[RunResult]]:
    jobs = settings.jobs
    workers = min(settings.workers, len(jobs))
    if workers == 1:
        yield map(_run, jobs)
        return
    # Ctrl-C reaches the whole group of processes; it is for this one to stop the others.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.get_context("spawn").Pool(workers, signal.signal, ignore) as pool:
        yield pool.imap_unordered(_run, jobs)
