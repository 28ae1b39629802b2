"""What the trials of TwoArmLift come to, by who moved the arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from clwm_evaluation.report import Rows, percent, text
from clwm_evaluation.statistics import quantiles
from clwm_evaluation.suites.episodes import Job, Outcome
from clwm_evaluation.suites.summary import rates
from clwm_evaluation.yardsticks.trials import AT_HOME, EXPERT, HOLD, MOVERS, POLICY

_MOVED = {
    POLICY: "by the policy, zero-shot",
    AT_HOME: "by the policy in our own pot scene",
    EXPERT: "by the expert, told the true state",
    HOLD: "by nobody: they hold",
}


def summary(outcomes: Mapping[Job, Outcome]) -> dict[str, Any]:
    """Rates with Wilson intervals and reasons of failures by mover, and every trial."""
    movers = []
    for mover in MOVERS:
        own = {job: out for job, out in outcomes.items() if job.mover == mover}
        if own:
            found = rates(own)
            seconds = [out.seconds for out in own.values() if out.succeeded]
            found["level"] = found.pop("another_achieved")
            movers.append({"mover": mover, **found, **quantiles(seconds, {"median_seconds": 0.5})})
    return {
        "movers": movers,
        "trials": [{"mover": job.mover, "seed": job.seed, **asdict(out)} for job, out in outcomes.items()],
    }


def page_tables(report: Mapping[str, Any]) -> list[Rows]:
    """One row for each mover; of the policy, how long it was trained."""
    steps = report["policy"].get("facts", {}).get("steps")
    moved = _MOVED | ({POLICY: f"{_MOVED[POLICY]}, {steps} steps of training"} if steps else {})
    rows = [
        [
            moved[row["mover"]],
            f"{row['successes']} / {row['episodes']}",
            percent(row["wilson95"], 0),
            str(row["level"]),
            text(row["median_seconds"], "{:.1f} s"),
            ", ".join(f"{count} {reason}" for reason, count in row["reasons"].items()),
        ]
        for row in report["movers"]
    ]
    header = ["the arms are moved", "lifted", "Wilson 95 %", "level in both hands", "median", "why not"]
    return [Rows(header, rows)]
