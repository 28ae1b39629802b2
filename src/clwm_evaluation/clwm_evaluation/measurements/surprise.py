"""`clwm bench surprise`: an object is moved while a chunk runs; what does the next chunk make of it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import Source, recorded_trials
from clwm_evaluation.calibration.trials import TrialsError
from clwm_evaluation.measurements.surprise_measure import measure_surprise
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
from clwm_policy.engine.calibration import FILE_NAME, CalibrationError, load_calibration
from clwm_policy.model.checkpoint import CheckpointError

FIRST_SEED = 5_000_000  # apart from those of the calibration


def surprise(
    model: ModelName = "nano",
    policy: PolicyFile = None,
    encoder: EncoderFolder = None,
    episodes: Annotated[int, typer.Option(min=1, help="per task")] = 40,
    first_seed: Annotated[int, typer.Option(min=0)] = FIRST_SEED,
    workers: Workers = 2,
    trials_folder: Annotated[
        Path | None, typer.Option("--trials", help="folder that keeps the trials; those found there are not run again")
    ] = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """What the next chunk makes of a surprise: sequential, fixed, adaptive and naive, from the same state and noise.

    Trials that are in the folder are not run again, so an interrupted measurement goes on where it stopped.
    """
    console = PlainConsole()
    try:
        source = Source(model, policy, encoder)
        loaded, _, plan, checkpoint = source.load()
        calibration = load_calibration(checkpoint.with_name(FILE_NAME), loaded, plan)
        trials = recorded_trials(source, episodes, first_seed, workers, console, trials_folder)
    except (CheckpointError, CalibrationError, TrialsError) as error:
        refuse(console, error)
    report = measure_surprise(trials, calibration) | {
        "policy_hash": loaded.policy_hash,
        "encoder_hash": loaded.encoder_hash,
        **provenance("surprise", first_seed),
    }
    console.print(as_table(report))
    write_json(console, report, json_file)
    if png is not None:
        from clwm_evaluation.measurements.surprise_plot import draw_surprise

        write_png(console, lambda: draw_surprise(report), png)


def as_table(report: dict[str, Any]) -> Table:
    """Medians for people; the JSON file has all of it."""
    table = Table(
        title=f"{report['pairs_that_matter']} of {report['pairs']} events change the plan; "
        f"{report['undisturbed']} undisturbed chunks"
    )
    table.add_column("mode")
    columns = ("share of the change made", "undisturbed: deviation p95", "within bound", "from start", "NFE blocking")
    for column in columns:
        table.add_column(column, justify="right")
    for name, found in report["modes"].items():
        calm, share = found["undisturbed"], found["share_made"]["median"]
        table.add_row(
            name,
            "-" if share is None else f"{share:.0%}",
            f"{calm['deviation_mm']['p95']:.2f} mm",
            f"{calm['within_bound']:.1%}",
            f"{calm['from_the_start']:.0%}",
            f"{calm['nfe_blocking']['p50']:.0f}",
        )
    return table


if __name__ == "__main__":
    typer.run(surprise)
