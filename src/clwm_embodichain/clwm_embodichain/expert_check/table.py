"""The table of the experts: how often each goal of each scene is achieved, from its start and from the middle."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from clwm_common.proportions import wilson95
from clwm_common.provenance import commit, machine
from clwm_embodichain.expert_check.trials import ExpertTrials, TrialOrder, TrialResult


class TrialLog:
    """Results made so far, one JSON line each, so that a check which was interrupted goes on.

    Only results of the same commit count; those of a source tree with changes count for nothing.
    """

    def __init__(self, path: Path, now: str | None = None) -> None:
        self._path = path
        self.commit = commit() if now is None else now
        self._is_resumable = self.commit != "unknown" and not self.commit.endswith("+changes")

    def known(self) -> list[TrialResult]:
        """What need not be done again. A line that was cut short is left out."""
        if not (self._is_resumable and self._path.exists()):
            return []
        results = []
        for line in self._path.read_text().splitlines():
            try:
                fields = json.loads(line)
            except json.JSONDecodeError:
                continue
            if fields.pop("commit") == self.commit:
                results.append(TrialResult(**fields))
        return results

    def add(self, result: TrialResult) -> None:
        """Write one down at once."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps({**asdict(result), "commit": self.commit}) + "\n")


_trials: ExpertTrials | None = None


def _start_worker() -> None:
    global _trials  # one set of compiled scenes per process, made after the spawn
    _trials = ExpertTrials()


def _run(order: TrialOrder) -> TrialResult:
    assert _trials is not None, "a worker runs trials only after _start_worker"
    return _trials.run(order)


@contextmanager
def running(orders: Sequence[TrialOrder], workers: int) -> Iterator[Iterator[TrialResult]]:
    """Results as they come, in any order."""
    if workers == 1:
        _start_worker()
        yield map(_run, orders)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker) as pool:
        yield pool.imap_unordered(_run, orders)


def summarise(results: Sequence[TrialResult], commit: str) -> dict[str, Any]:
    """The report: a row for each scene, goal and expansion, and every failure; commit: of what was tried."""
    rows = []
    for scene, kind, expansion in dict.fromkeys((result.scene, result.kind, result.expansion) for result in results):
        own = [
            result for result in results if (result.scene, result.kind, result.expansion) == (scene, kind, expansion)
        ]
        rows.append({"scene": scene, "goal": kind, "expansion": expansion, **_row(own)})
    seeds = [result.seed for result in results]
    return {
        "measurement": "experts",
        "table": rows,
        "failures": [asdict(each) for each in results if (each.outcome == "achieved") == each.is_control],
        "first_seed": min(seeds, default=0),
        "seeds": len(set(seeds)),
        "machine": machine(),
        "commit": commit,
    }


def _row(trials: Sequence[TrialResult]) -> dict[str, Any]:
    results, controls = ([each for each in trials if each.is_control == is_control] for is_control in (False, True))
    achieved = [result for result in results if result.outcome == "achieved"]
    return {
        "trials": len(results),
        "achieved": len(achieved),
        "wilson95": [round(bound, 4) for bound in wilson95(len(achieved), len(results))],
        "midway": sum(result.order.is_midway for result in results),
        "midway_achieved": sum(result.order.is_midway for result in achieved),
        "lost": sum(result.outcome == "lost" for result in results),
        "timed_out": sum(result.outcome == "open" for result in results),
        "tried_anew": sum(result.replans > 0 for result in results),
        "tried_anew_achieved": sum(result.replans > 0 for result in achieved),
        "seconds": round(float(np.median([result.seconds for result in achieved])), 2) if achieved else None,
        "processor_seconds": round(float(np.mean([result.cpu for result in results])), 3),
        "arms_touched": sum(result.touched for result in results),
        "controls": len(controls),
        "controls_achieved": sum(result.outcome == "achieved" for result in controls),
    }
