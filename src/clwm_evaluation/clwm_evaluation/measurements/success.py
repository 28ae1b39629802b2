"""`clwm bench success`: success of the re-entry modes on the same seeds, and whether they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import TASKS, Source
from clwm_evaluation.measurements.paired_episodes import (
    MODES,
    Job,
    Ledger,
    Outcome,
    PairedEpisodesError,
    jobs_of,
    made_with,
    run_missing,
    running,
)
from clwm_evaluation.measurements.paired_report import BASELINE, compare
from clwm_evaluation.report import (
    EncoderFolder,
    JsonFile,
    ModelName,
    PngFile,
    PolicyFile,
    Workers,
    progress,
    provenance,
    refuse,
    write_json,
    write_png,
)
from clwm_policy.model.checkpoint import CheckpointError

FIRST_SEED = 7_000_000
LEDGER = Path("out/bench/success.jsonl")


def success(
    episodes: Annotated[int, typer.Option(min=1, help="per task and mode")] = 100,
    modes: Annotated[list[str] | None, typer.Option("--mode", help=f"repeat it; default: {', '.join(MODES)}")] = None,
    delay: Annotated[float, typer.Option(min=0.0, help="ms from the pictures to the chunk, for every mode")] = 80.0,
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
    """Success of sequential, fixed, adaptive and naive on the same seeds of both tasks, under a virtual clock.

    Every mode has the same delay, so that only what the chunks are worth differs. Paired differences to sequential come
    with a 95 % interval and McNemar's exact test. An interrupted measurement goes on where it stopped.
    """
    console = PlainConsole()
    names = modes or list(MODES)
    try:
        source = Source(model, policy, encoder)
        jobs = jobs_of(range(first_seed, first_seed + episodes), TASKS, names, [delay], disturb)
        outcomes = run_jobs(console, "episodes", source, jobs, workers, ledger)
    except (CheckpointError, PairedEpisodesError) as error:
        refuse(console, error)
    report = {
        "delay_ms": delay,
        "disturb": disturb,
        "by_task": compare(outcomes, names),
        "model": model,
        "made_with": made_with(source, names),
        **provenance("success", first_seed),
    }
    console.print(as_table(report))
    write_json(console, report, json_file)
    if png is not None:
        from clwm_evaluation.measurements.paired_plot import draw_success

        write_png(console, lambda: draw_success(report), png)


def run_jobs(
    console: PlainConsole, what: str, source: Source, jobs: list[Job], workers: int, ledger: Path
) -> dict[Job, Outcome]:
    """All outcomes, with progress; those in the ledger are not run again. Raises as `made_with` and `Ledger.read`."""
    modes = list(dict.fromkeys(job.mode for job in jobs))
    book = Ledger(ledger, made_with(source, modes))
    kept = book.read()
    missing = sum(job not in kept for job in jobs)
    if missing < len(jobs):
        console.print(f"{len(jobs) - missing} of {len(jobs)} {what} are in {ledger}", highlight=False)
    with progress(console, what, missing) as advance, running(source, workers) as results:

        def on_job(job: Job, outcome: Outcome) -> None:
            advance(1, f"{job.task} seed {job.seed} {job.mode} {job.delay_ms:g} ms: {outcome.outcome}")

        return run_missing(jobs, book, results, on_job)


def as_table(report: dict[str, Any]) -> Table:
    """The report for people; the JSON file has all of it."""
    table = Table(title=f"success, delay {report['delay_ms']:g} ms; difference: paired, in points, to {BASELINE}")
    table.add_column("mode", no_wrap=True)
    for column in ("success", "Wilson 95 %", "difference (95 %)", "McNemar p", "idle", "seconds"):
        table.add_column(column, justify="right")
    whole = report["by_task"]["all"]
    for mode, found in whole["modes"].items():
        low, high = found["wilson95"]
        apart = whole["differences"].get(mode)
        table.add_row(
            mode,
            f"{found['successes']} / {found['episodes']}",
            f"{100 * low:.1f} to {100 * high:.1f}",
            "-" if apart is None else _difference(apart),
            "-" if apart is None else f"{apart['mcnemar_exact_p']:.2g}",
            "-" if found["idle_fraction"] is None else f"{found['idle_fraction']:.1%}",
            "-" if found["seconds_to_success"] is None else f"{found['seconds_to_success']:.2f}",
        )
    return table


def _difference(apart: dict[str, Any]) -> str:
    low, high = apart["difference95"]
    return f"{100 * apart['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


if __name__ == "__main__":
    typer.run(success)
