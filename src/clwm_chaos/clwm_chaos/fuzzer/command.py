"""`clwm chaos --virtual`: the fuzzer with a bar, a table and a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from clwm_chaos.fuzzer.fuzzer import FuzzSettings, run_fuzzer
from clwm_chaos.fuzzer.result import RunResult
from clwm_common.terminal.console import PlainConsole, description_column


def fuzz(console: PlainConsole, settings: FuzzSettings, json_file: Path | None) -> None:
    """Run the fuzzer with a bar, print its table, write its report. Raises typer.Exit: 1 for a broken rule, 130 for
    Ctrl-C, which ends it early with the report of what was done."""
    console.print(f"seed {settings.seed}, {settings.workers} workers", highlight=False)
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
        console.print(f"interrupted after {report['chunks']} of {settings.chunks} chunks", highlight=False)
        raise typer.Exit(130)


def run_with_progress(settings: FuzzSettings, console: PlainConsole) -> dict[str, Any]:
    """`run_fuzzer` with a bar that counts chunks; where nobody looks at a terminal, a line for every twentieth.

    The first broken rule of a run is shown at once, with what repeats the run.
    """
    chunks = sum(job[-1] for job in settings.jobs)
    columns = (
        description_column(),
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
