"""`clwm bench controls`: the policy beside its controls: told something else, shown other looks, without its memory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import TASKS, Source
from clwm_evaluation.report import FirstSeed, Measured, Rows, Workers, measurement, percent
from clwm_evaluation.statistics import success_rate
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, check_settings, run_evaluation
from clwm_evaluation.virtual.conditions import CONDITIONS

FIRST_SEED = 8_000_000


@measurement(EvaluationError, draws=False)
def controls(
    console: PlainConsole,
    episodes: Annotated[int, typer.Option(min=1, help="per task and condition")] = 25,
    conditions: Annotated[list[str] | None, typer.Option("--condition", help="repeat it; default: all")] = None,
    delay: Annotated[float, typer.Option(min=0.0, help="ms from the pictures to the chunk")] = 30.0,
    sai: Annotated[str, typer.Option(help="sequential, fixed:<s_mid> or adaptive")] = "sequential",
    *,
    source: Source,
    first_seed: FirstSeed = FIRST_SEED,
    workers: Workers = 1,
) -> Measured:
    """How often the task that is in view gets done, with one thing changed at a time, on the same seeds.

    A policy that listens does not do it when told something else. Virtual clock, a fixed delay: the same each time.
    """
    settings = [
        EvaluationSettings.of_model(
            source.model,
            task=task,
            condition=condition,
            episodes=episodes,
            first_seed=first_seed,
            sai=sai,
            latency=f"{delay:g}",
            policy=source.policy,
            encoder=source.encoder,
            workers=workers,
        )
        for condition in conditions or CONDITIONS
        for task in TASKS
    ]
    for each in settings:
        check_settings(each)
    reports = []
    with progress(console, "episodes", episodes * len(settings)) as advance:
        for each in settings:
            reports.append(run_evaluation(each))
            advance(episodes, f"{each.condition}, {each.task}: {reports[-1]['successes']} / {episodes}")
    report = {
        "delay_ms": delay,
        "sai": sai,
        "by_condition": by_condition(reports),
        "model": source.model,
        "policy_hash": reports[0]["policy_hash"],
        "encoder_hash": reports[0]["encoder_hash"],
    }
    title = f"the visible task done, {sai}, delay {delay:g} ms"
    return Measured(report, [page_tables(report)[0].table(title, left=2)])


def by_condition(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The reports of `run_evaluation` summed up over the tasks, by condition."""
    found: dict[str, Any] = {}
    for report in reports:
        row = found.setdefault(report["condition"], {"episodes": 0, "successes": 0, "by_task": {}})
        row["meaning"] = CONDITIONS[report["condition"]].meaning
        row["episodes"] += report["episodes"]
        row["successes"] += report["successes"]
        row["by_task"][report["task"]] = {"episodes": report["episodes"], "successes": report["successes"]}
    for row in found.values():
        row["wilson95"] = success_rate(row["successes"], row["episodes"])["wilson95"]
    return found


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """How often the visible task was done, one row per condition."""
    rows = []
    for name, found in report["by_condition"].items():
        counts = [f"{each['successes']} / {each['episodes']}" for each in (found, *found["by_task"].values())]
        rows.append([f"`{name}`", found["meaning"], counts[0], percent(found["wilson95"], 0), *counts[1:]])
    tasks = list(next(iter(report["by_condition"].values()))["by_task"])
    return [Rows(["condition", "what is changed", "visible task done", "Wilson 95 %", *tasks], rows)]
