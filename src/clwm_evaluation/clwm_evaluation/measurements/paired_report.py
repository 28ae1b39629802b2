"""Success of several modes on the same seeds: rates, and what sets two modes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clwm_evaluation.measurements.paired_episodes import Job, Outcome
from clwm_evaluation.statistics import compare_pairs, mean, wilson95

BASELINE = "sequential"


def compare(outcomes: Mapping[Job, Outcome], modes: Sequence[str]) -> dict[str, Any]:
    """Rates by mode and their paired differences to the baseline, over all tasks (`all`) and each one."""
    tasks = list(dict.fromkeys(job.task for job in outcomes))
    groups = {"all": outcomes} | {
        task: {job: outcome for job, outcome in outcomes.items() if job.task == task} for task in tasks
    }
    return {name: _compare(group, modes) for name, group in groups.items()}


def _compare(outcomes: Mapping[Job, Outcome], modes: Sequence[str]) -> dict[str, Any]:
    by_mode = {mode: {_pair(job): out for job, out in outcomes.items() if job.mode == mode} for mode in modes}
    found: dict[str, Any] = {"modes": {mode: rates(list(by_mode[mode].values())) for mode in modes}, "differences": {}}
    for mode in modes:
        if mode != BASELINE and BASELINE in by_mode:
            found["differences"][mode] = difference(by_mode[mode], by_mode[BASELINE])
    return found


def rates(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Success with its Wilson interval, and how smoothly it went; times are virtual."""
    successes = sum(outcome.succeeded for outcome in outcomes)
    low, high = wilson95(successes, len(outcomes))
    active = sum(outcome.active_seconds for outcome in outcomes)
    idle = sum(outcome.idle_fraction * outcome.active_seconds for outcome in outcomes)
    seconds = mean(outcome.seconds for outcome in outcomes if outcome.succeeded)
    return {
        "episodes": len(outcomes),
        "successes": successes,
        "success_rate": round(successes / len(outcomes), 4) if outcomes else None,
        "wilson95": [round(low, 4), round(high, 4)],
        "seconds_to_success": None if seconds is None else round(seconds, 3),
        "idle_fraction": round(idle / active, 4) if active > 0.0 else None,
        "stalls": sum(outcome.stalls for outcome in outcomes),
        "chunks": sum(outcome.chunks for outcome in outcomes),
    }


def difference(first: Mapping[Any, Outcome], second: Mapping[Any, Outcome]) -> dict[str, Any] | None:
    """Of the pairs that both have: rate of the first minus rate of the second, with McNemar's exact test."""
    pairs = [(first[key].succeeded, second[key].succeeded) for key in first if key in second]
    if not pairs:
        return None
    found = compare_pairs(pairs)
    found[f"only_{BASELINE}"] = found.pop("only_other")
    return found


def _pair(job: Job) -> tuple[Any, ...]:
    return job.task, job.seed, job.delay_ms, job.disturb
