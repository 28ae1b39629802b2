"""The command `clwm chaos`: everything that can go wrong, on a virtual clock; a table and a JSON file."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from clwm_common.robot import RobotDescription
from clwm_embodichain.chaos_fuzz import FuzzSettings, run_fuzzer
from clwm_embodichain.chaos_run import RunResult


def chaos(
    virtual: Annotated[bool, typer.Option("--virtual", help="fuzz the executor's core under a virtual clock")] = False,
    chunks: Annotated[int, typer.Option(min=1, help="executed chunks, over all runs")] = 10_000,
    seed: Annotated[int | None, typer.Option(min=0, help="the same seed, the same runs; default: a new one")] = None,
    run: Annotated[int | None, typer.Option(min=0, help="do this run of a seed again, alone")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = len(os.sched_getaffinity(0)),
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = "dual_fr3_mujoco",
    json_file: Annotated[Path | None, typer.Option("--json", help="write the report here")] = None,
) -> None:
    """Let faults loose on the executor and check what the controllers would execute. Ends with 1 when a rule is broken.

    Ctrl-C ends it early, with the report of what was done, and 130.

    A policy of random motions answers late, twice, never, with old epochs and with nonsense, while modes, tasks, clocks
    and joint states fail at random instants.
    """
    console = Console()
    if not virtual:
        console.print("[red]error:[/red] only the virtual clock is there so far; add --virtual", highlight=False)
        raise typer.Exit(2)
    RobotDescription.load(robot)
    settings = FuzzSettings(chunks, secrets.randbelow(2**31) if seed is None else seed, robot, workers, run)
    console.print(f"seed {settings.seed}, {workers} workers", highlight=False)
    report = run_with_progress(settings, console)
    console.print(as_table(report))
    for example in report["examples"]:
        console.print(f"run {example['run']} at {example['at']} s: {example['rule']}: {example['detail']}", style="red")
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=2) + "\n")
        console.print(f"report: {json_file}")
    if report["violations"] or report["deadlocks"]:
        raise typer.Exit(1)
    if not report["is_complete"]:
        console.print(f"interrupted after {report['chunks']} of {chunks} chunks", highlight=False)
        raise typer.Exit(130)


def run_with_progress(settings: FuzzSettings, console: Console) -> dict[str, Any]:
    """`run_fuzzer` with a bar that counts chunks; where nobody looks at a terminal, a line for every twentieth.

    The first broken rule of a run is shown at once, with what repeats the run.
    """
    chunks = sum(job[-1] for job in settings.jobs)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=300.0) as progress:
        bar = progress.add_task("0 violations", total=chunks)
        done = broken = told = 0

        def on_run(result: RunResult) -> None:
            nonlocal done, broken, told
            done += result.chunks
            broken += len(result.violations) + len(result.deadlocks)
            for found in (result.deadlocks + result.violations)[:1]:
                progress.console.print(
                    f"--run {found.run}, at {found.at:.4f} s: {found.rule}: {found.detail}",
                    style="red",
                    highlight=False,
                )
            progress.update(bar, advance=result.chunks, description=f"{broken} violations")
            if not console.is_terminal and 20 * done // chunks > told:
                told = 20 * done // chunks
                console.print(f"{done} of {chunks} chunks, {broken} violations", highlight=False)

        return run_fuzzer(settings, on_run)


class _RateColumn(ProgressColumn):
    """Chunks per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f} chunks/s")


def as_table(report: dict[str, Any]) -> Table:
    """The report for people: what was done, then every kind of answer and disturbance with its count."""
    table = Table(title=f"chaos under a virtual clock, seed {report['seed']}")
    table.add_column("what")
    table.add_column("count", justify="right")
    table.add_row("violations", str(report["violations"]), style="green" if not report["violations"] else "red")
    table.add_row("dead-locks", str(report["deadlocks"]), style="green" if not report["deadlocks"] else "red")
    table.add_row("rows of a stale epoch", str(report["stale_epoch_rows"]))
    table.add_row("chunks executed", str(report["chunks"]))
    table.add_row("virtual hours", f"{report['virtual_hours']:.2f}")
    table.add_row("chunks per second", f"{report['chunks_per_second']:.0f}")
    table.add_row("CPU per chunk", f"{report['cpu_ms_per_chunk']:.2f} ms", end_section=True)
    for name, count in report["events"].items():
        table.add_row(name, str(count))
    return table


if __name__ == "__main__":
    typer.run(chaos)
