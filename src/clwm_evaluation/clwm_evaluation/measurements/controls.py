"""`clwm bench controls`: the policy beside its controls: told something else, shown other looks, without its memory."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.report import (
    EncoderFolder,
    JsonFile,
    ModelName,
    PolicyFile,
    Workers,
    progress,
    provenance,
    refuse,
    write_json,
)
from clwm_evaluation.statistics import wilson95
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, check_settings, run_evaluation
from clwm_evaluation.virtual.conditions import CONDITIONS

FIRST_SEED = 8_000_000
TASKS = ("lift_tray", "place_block")


def controls(
    episodes: Annotated[int, typer.Option(min=1, help="per task and condition")] = 25,
    conditions: Annotated[list[str] | None, typer.Option("--condition", help="repeat it; default: all")] = None,
    delay: Annotated[float, typer.Option(min=0.0, help="ms from the pictures to the chunk")] = 30.0,
    sai: Annotated[str, typer.Option(help="sequential, fixed:<s_mid> or adaptive")] = "sequential",
    model: ModelName = "nano",
    policy: PolicyFile = None,
    encoder: EncoderFolder = None,
    first_seed: Annotated[int, typer.Option(min=0, help="apart from training and calibration")] = FIRST_SEED,
    workers: Workers = 1,
    json_file: JsonFile = None,
) -> None:
    """How often the task that is in view gets done, with one thing changed at a time, on the same seeds.

    A policy that listens does not do it when told something else. Virtual clock, a fixed delay: the same each time.
    """
    console = PlainConsole()
    settings = [
        EvaluationSettings.of_model(
            model,
            task=task,
            condition=condition,
            episodes=episodes,
            first_seed=first_seed,
            sai=sai,
            latency=f"{delay:g}",
            policy=policy,
            encoder=encoder,
            workers=workers,
        )
        for condition in conditions or CONDITIONS
        for task in TASKS
    ]
    reports = []
    try:
        for each in settings:
            check_settings(each)
        with progress(console, "episodes", episodes * len(settings)) as advance:
            for each in settings:
                reports.append(run_evaluation(each))
                advance(episodes, f"{each.condition}, {each.task}: {reports[-1]['successes']} / {episodes}")
    except EvaluationError as error:
        refuse(console, error)
    report = {
        "delay_ms": delay,
        "sai": sai,
        "by_condition": by_condition(reports),
        "model": model,
        "policy_hash": reports[0]["policy_hash"],
        "encoder_hash": reports[0]["encoder_hash"],
        **provenance("controls", first_seed),
    }
    console.print(as_table(report))
    write_json(console, report, json_file)


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
        row["wilson95"] = [round(value, 4) for value in wilson95(row["successes"], row["episodes"])]
    return found


def as_table(report: dict[str, Any]) -> Table:
    """The report for people; the JSON file has the tasks apart."""
    table = Table(title=f"the visible task done, {report['sai']}, delay {report['delay_ms']:g} ms")
    for column in ("condition", "meaning"):
        table.add_column(column)
    for column in ("done", "Wilson 95 %"):
        table.add_column(column, justify="right")
    for name, found in report["by_condition"].items():
        low, high = (100 * value for value in found["wilson95"])
        done = f"{found['successes']} / {found['episodes']}"
        table.add_row(name, found["meaning"], done, f"{low:.0f} to {high:.0f}")
    return table


if __name__ == "__main__":
    typer.run(controls)
