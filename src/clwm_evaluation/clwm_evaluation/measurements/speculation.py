"""`clwm bench speculation`: how good the surrogate is, what speculation wastes, and whether its bounds hold."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from clwm_common.messages import DualArmState, SaiReport
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import TASKS, Source, recorded_trials
from clwm_evaluation.calibration.trials import TrialsError
from clwm_evaluation.measurements.speculation_measure import behaviour, coverage
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
from clwm_evaluation.virtual.chunk_sources import Answer, ModelSource, Pictures
from clwm_evaluation.virtual.stack import Latency, VirtualStack
from clwm_policy.engine.calibration import FILE_NAME, CalibrationError, load_calibration
from clwm_policy.loading import PolicySettings, load_engine
from clwm_policy.model.checkpoint import CheckpointError
from clwm_sim.world import World

FIRST_SEED = 5_000_000  # those of `clwm bench surprise`, whose trials serve both
MODES = ("sequential", "fixed:0.5", "adaptive")
_LATENCY = Latency(0.08)


def speculation(
    episodes: Annotated[int, typer.Option(min=1, help="per task, for the trials")] = 40,
    watched: Annotated[int, typer.Option(min=1, help="per task and mode, for surrogate, re-entry and NFE")] = 10,
    model: ModelName = "nano",
    policy: PolicyFile = None,
    encoder: EncoderFolder = None,
    first_seed: Annotated[int, typer.Option(min=0, help="apart from the calibration's")] = FIRST_SEED,
    workers: Workers = 2,
    trials_folder: Annotated[
        Path | None, typer.Option("--trials", help="folder that keeps the trials; those found there are not run again")
    ] = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Surrogate error against copying, re-entry points, wasted evaluations, deviation and coverage of the bounds.

    Coverage is measured on episodes that the calibration has not seen, with and without a moved object. The trials are
    those of `clwm bench surprise`; what is in their folder is not run again.
    """
    console = PlainConsole()
    try:
        source = Source(model, policy, encoder)
        loaded, _, plan, checkpoint = source.load()
        calibration = load_calibration(checkpoint.with_name(FILE_NAME), loaded, plan)
        trials = recorded_trials(source, episodes, first_seed, workers, console, trials_folder)
        watched_seeds = range(first_seed, first_seed + watched)
        with progress(console, "watched episodes", len(MODES) * len(TASKS) * watched) as advance:
            modes = {mode: behaviour(watch(source, mode, watched_seeds, advance), plan) for mode in MODES}
    except (CheckpointError, CalibrationError, TrialsError) as error:
        refuse(console, error)
    report = {
        "modes": modes,
        "coverage": coverage(trials, calibration),
        "policy_hash": loaded.policy_hash,
        "encoder_hash": loaded.encoder_hash,
        "calibration": dict(calibration.facts),
        **provenance("speculation", first_seed),
    }
    for table in as_tables(report):
        console.print(table)
    write_json(console, report, json_file)
    if png is not None:
        from clwm_evaluation.measurements.speculation_plot import draw_speculation

        write_png(console, lambda: draw_speculation(report), png)


class _WatchedSource(ModelSource):
    """A ModelSource that keeps the engine's reports."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reports: list[SaiReport] = []

    def answer(self, stamp: float, state: DualArmState, pictures: Pictures) -> Answer:
        answer = super().answer(stamp, state, pictures)
        self.reports.append(answer.report)
        return answer


def watch(source: Source, mode: str, seeds: range, advance: Any) -> list[SaiReport]:
    """Reports of all chunks of these episodes of all tasks with one mode; computing takes no virtual time."""
    _, encoder, plan, path = source.load()
    reports: list[SaiReport] = []
    for task in TASKS:
        settings = PolicySettings(path, mode, plan.video_steps, plan.action_steps, encoder.weights_hash)
        engine, world = load_engine(settings, stopwatch=_stands_still), World(task)
        chunks = _WatchedSource(encoder, engine, tuple(world.robot.cameras), _stands_still)
        with closing(VirtualStack(world, chunks, _LATENCY)) as stack:
            for seed in seeds:
                advance(1, f"{mode}, {task}, seed {seed}: {stack.run(seed).outcome}")
        reports += chunks.reports
    return reports


def _stands_still() -> float:
    return 0.0


def as_tables(report: dict[str, Any]) -> list[Table]:
    """The report for people; the JSON file has all of it."""
    modes = Table(title="chunks of whole episodes")
    modes.add_column("mode", no_wrap=True)
    for column in ("surrogate error", "copying", "better", "NFE blocking", "total", "wasted", "re-entry"):
        modes.add_column(column, justify="right")
    for mode, found in report["modes"].items():
        modes.add_row(
            mode,
            _text(found["surrogate_error"]["median"], "{:.3f}"),
            _text(found["copy_error"]["median"], "{:.3f}"),
            _text(found["better_than_copying"], "{:.0%}"),
            *(_text(found[name], "{:.1f}") for name in ("nfe_blocking_mean", "nfe_total_mean", "nfe_wasted_mean")),
            ", ".join(f"{name}: {count}" for name, count in found["re_entry"].items()),
        )
    held = report["coverage"]
    bounds = Table(title=f"stated deviation kept, {held['stated']:.0%} promised; bound {held['bound_mm']:g} mm")
    bounds.add_column("chunks", no_wrap=True)
    for column in ("kept, chosen point", "Wilson 95 %", "within the bound", "deviation median / p95", "from the start"):
        bounds.add_column(column, justify="right")
    for kind in ("all", "undisturbed", "disturbed"):
        found = held[kind]
        if not found["trials"]:
            continue
        low, high = found["chosen"]["wilson95"]
        deviation = found["deviation_mm"]
        bounds.add_row(
            f"{kind} ({found['trials']})",
            f"{found['chosen']['share']:.1%}",
            f"{low:.1%} to {high:.1%}",
            f"{found['within_bound']['share']:.1%}",
            f"{deviation['median']:.2f} / {deviation['p95']:.2f} mm",
            f"{found['from_the_start']:.0%}",
        )
    return [modes, bounds]


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


if __name__ == "__main__":
    typer.run(speculation)
