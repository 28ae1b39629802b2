"""`clwm bench delay`: how much delay between pictures and chunk the re-entry modes bear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import TASKS, Source
from clwm_evaluation.measurements.paired_episodes import MODES, Job, Outcome, PairedEpisodesError, jobs_of, made_with
from clwm_evaluation.measurements.paired_report import compare
from clwm_evaluation.measurements.success import run_jobs
from clwm_evaluation.report import (
    EncoderFolder,
    JsonFile,
    ModelName,
    PngFile,
    PolicyFile,
    Workers,
    provenance,
    refuse,
    write_json,
    write_png,
)
from clwm_policy.model.checkpoint import CheckpointError

FIRST_SEED = 8_000_000
DELAYS = (0.0, 100.0, 200.0, 400.0, 800.0)  # ms
LEDGER = Path("out/bench/delay.jsonl")


def delay(
    episodes: Annotated[int, typer.Option(min=1, help="per task, mode and delay")] = 25,
    delays: Annotated[
        list[float] | None, typer.Option("--delay", min=0.0, max=60000.0, help="ms; repeat it; default: 0 to 800")
    ] = None,
    modes: Annotated[list[str] | None, typer.Option("--mode", help=f"repeat it; default: {', '.join(MODES)}")] = None,
    disturb: Annotated[float, typer.Option(min=0.0, max=0.1, help="move an object this many m, once")] = 0.0,
    model: ModelName = "nano",
    policy: PolicyFile = None,
    encoder: EncoderFolder = None,
    first_seed: Annotated[int, typer.Option(min=0, help="apart from training and calibration")] = FIRST_SEED,
    workers: Workers = 1,
    ledger: Annotated[Path, typer.Option(help="keeps finished episodes, which are not run again")] = LEDGER,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Success against a delay injected between the pictures and the chunk: sequential, fixed, adaptive and naive.

    Same seeds for every mode and delay, both tasks, virtual clock; computing takes no time beside the delay. Beyond the
    committed tail of 200 ms the arms brake and wait. An interrupted measurement goes on where it stopped.
    """
    console = PlainConsole()
    names, wanted = modes or list(MODES), sorted(set(delays or DELAYS))
    try:
        source = Source(model, policy, encoder)
        jobs = jobs_of(range(first_seed, first_seed + episodes), TASKS, names, wanted, disturb)
        outcomes = run_jobs(console, "episodes", source, jobs, workers, ledger)
    except (CheckpointError, PairedEpisodesError) as error:
        refuse(console, error)
    report = {
        "disturb": disturb,
        "delays": by_delay(outcomes, names),
        "model": model,
        "made_with": made_with(source, names),
        **provenance("delay", first_seed),
    }
    console.print(as_table(report))
    write_json(console, report, json_file)
    if png is not None:
        from clwm_evaluation.measurements.paired_plot import draw_delay

        write_png(console, lambda: draw_delay(report), png)


def by_delay(outcomes: dict[Job, Outcome], modes: list[str]) -> dict[str, Any]:
    """`compare` for each delay, keyed by its milliseconds in ascending order."""
    found = {}
    for value in sorted({job.delay_ms for job in outcomes}):
        found[f"{value:g}"] = compare({job: out for job, out in outcomes.items() if job.delay_ms == value}, modes)
    return found


def as_table(report: dict[str, Any]) -> Table:
    """Success of both tasks together; the JSON file has all of it."""
    table = Table(title="success (idle time) by delay between pictures and chunk")
    table.add_column("mode", no_wrap=True)
    for value in report["delays"]:
        table.add_column(f"{value} ms", justify="right")
    columns = [found["all"]["modes"] for found in report["delays"].values()]
    for mode in columns[0]:
        table.add_row(mode, *(_cell(column[mode]) for column in columns))
    return table


def _cell(found: dict[str, Any]) -> str:
    idle = "-" if found["idle_fraction"] is None else f"{found['idle_fraction']:.0%}"
    return f"{found['successes']} / {found['episodes']} ({idle})"


if __name__ == "__main__":
    typer.run(delay)
