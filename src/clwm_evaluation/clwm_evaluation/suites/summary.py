"""What a suite's episodes come to: rates with intervals, reasons, and differences to the nominal condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from clwm_evaluation.report import Rows, paired_difference, percent
from clwm_evaluation.statistics import compare_pairs, success_rate
from clwm_evaluation.suites.conditions import NOMINAL_CONDITION, SUITES
from clwm_evaluation.suites.episodes import Job, Outcome

FAILURES_SHOWN = 3  # of each condition
# What is told where a condition is no better or worse than the nominal one.
_OF_ITS_OWN = ("keep still", "to act", "another")


def summary(suite: str, outcomes: Mapping[Job, Outcome]) -> dict[str, Any]:
    """By condition and mover: `all` and each goal, with Wilson intervals, reasons of failures, and whether another goal
    was achieved; `minus_nominal` of the same seeds where the nominal condition asks for the same.
    """
    found: dict[str, Any] = {}
    for condition in SUITES[suite]:
        movers = dict.fromkeys(job.mover for job in outcomes if job.condition == condition.name)
        entry = {"meaning": condition.meaning, "is_control": condition.is_control, "by_mover": {}}
        for mover in movers:
            own = {job: out for job, out in outcomes.items() if (job.condition, job.mover) == (condition.name, mover)}
            goals = dict.fromkeys(job.goal for job in own)
            row = {"all": rates(own)}
            row["goals"] = {goal: rates({j: out for j, out in own.items() if j.goal == goal}) for goal in goals}
            if condition.name != NOMINAL_CONDITION.name and condition.told not in _OF_ITS_OWN:
                row["minus_nominal"] = _against_nominal(own, outcomes)
            entry["by_mover"][mover] = row
        found[condition.name] = entry
    return found


def failures(outcomes: Mapping[Job, Outcome], condition: str, mover: str) -> list[tuple[Job, Outcome]]:
    """The first ones by seed."""
    failed = [(job, out) for job, out in outcomes.items() if not out.succeeded and job.mover == mover]
    own = [(job, out) for job, out in failed if job.condition == condition]
    return sorted(own, key=lambda pair: (pair[0].seed, pair[0].goal))[:FAILURES_SHOWN]


def page_tables(report: Mapping[str, Any]) -> list[Rows]:
    """One row per condition and mover, all goals together."""
    rows = []
    for name, entry in report["conditions"].items():
        for mover, row in entry["by_mover"].items():
            found = row["all"]
            reasons = ", ".join(f"{count} {reason}" for reason, count in found["reasons"].items())
            difference, p = paired_difference(row.get("minus_nominal"))
            rows.append(
                [
                    f"{name} (control)" if entry["is_control"] else name,
                    mover,
                    f"{found['successes']} / {found['episodes']}",
                    percent(found["wilson95"], 0),
                    str(found["another_achieved"]),
                    difference,
                    p,
                    reasons,
                ]
            )
    header = ["condition", "mover", "done", "Wilson 95 %", "another done", "points to nominal", "p", "why not"]
    return [Rows(header, rows)]


def rates(outcomes: Mapping[Job, Outcome]) -> dict[str, Any]:
    successes = sum(out.succeeded for out in outcomes.values())
    reasons = Counter(out.reason for out in outcomes.values() if not out.succeeded)
    return {
        "episodes": len(outcomes),
        "successes": successes,
        **success_rate(successes, len(outcomes)),
        "another_achieved": sum(bool(out.others) for out in outcomes.values()),
        "reasons": dict(reasons.most_common()),
    }


def _against_nominal(own: Mapping[Job, Outcome], outcomes: Mapping[Job, Outcome]) -> dict[str, Any] | None:
    pairs = []
    for job, out in own.items():
        nominal = outcomes.get(Job(job.seed, job.goal, NOMINAL_CONDITION.name, job.mover))
        if nominal is not None:
            pairs.append((out.succeeded, nominal.succeeded))
    return compare_pairs(pairs) if pairs else None
