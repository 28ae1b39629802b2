"""`clwm bench speculation`: how good the surrogate is, what speculation wastes, and whether its bounds hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from clwm_common.messages import DualArmState, SaiReport
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import TASKS, KeptTrials, Source, recorded_trials
from clwm_evaluation.calibration.trials import Trials, TrialsError
from clwm_evaluation.plots import COLOURS, panels
from clwm_evaluation.report import Measured, Rows, Workers, measurement, percent, text
from clwm_evaluation.statistics import mean, quantiles, rounded, wilson95
from clwm_evaluation.virtual.chunk_sources import Answer, ModelSource, Pictures
from clwm_evaluation.virtual.stack import Latency, VirtualStack, stands_still
from clwm_policy.engine.calibration import FILE_NAME, Calibration, CalibrationError, load_calibration
from clwm_policy.engine.re_entry import BOUND, START, Adaptive, Plan, Point, point_name
from clwm_policy.loading import PolicySettings, load_engine
from clwm_policy.model.checkpoint import CheckpointError
from clwm_sim.world import World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_SEED = 5_000_000  # those of `clwm bench surprise`, whose trials serve both
MODES = ("sequential", "fixed:0.5", "adaptive")
_LATENCY = Latency(0.08)


@measurement(CheckpointError, CalibrationError, TrialsError)
def speculation(
    console: PlainConsole,
    episodes: Annotated[int, typer.Option(min=1, help="per task, for the trials")] = 40,
    watched: Annotated[int, typer.Option(min=1, help="per task and mode, for surrogate, re-entry and NFE")] = 10,
    *,
    source: Source,
    first_seed: Annotated[int, typer.Option(min=0, help="apart from the calibration's")] = FIRST_SEED,
    workers: Workers = 2,
    trials_folder: KeptTrials = None,
) -> Measured:
    """Surrogate error against copying, re-entry points, wasted evaluations, deviation and coverage of the bounds.

    Coverage is measured on episodes that the calibration has not seen, with and without a moved object. The trials are
    those of `clwm bench surprise`; what is in their folder is not run again.
    """
    loaded, _, plan, checkpoint = source.load()
    calibration = load_calibration(checkpoint.with_name(FILE_NAME), loaded, plan)
    trials = recorded_trials(source, episodes, first_seed, workers, console, trials_folder)
    watched_seeds = range(first_seed, first_seed + watched)
    with progress(console, "watched episodes", len(MODES) * len(TASKS) * watched) as advance:
        modes = {mode: behaviour(watch(source, mode, watched_seeds, advance), plan) for mode in MODES}
    report = {
        "modes": modes,
        "coverage": coverage(trials, calibration),
        "policy_hash": loaded.policy_hash,
        "encoder_hash": loaded.encoder_hash,
        "calibration": dict(calibration.facts),
    }
    return Measured(report, as_tables(report), lambda: draw_speculation(report))


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
        engine, world = load_engine(settings, stopwatch=stands_still), World(task)
        chunks = _WatchedSource(encoder, engine, tuple(world.robot.cameras), stands_still)
        with closing(VirtualStack(world, chunks, _LATENCY)) as stack:
            for seed in seeds:
                advance(1, f"{mode}, {task}, seed {seed}: {stack.run(seed).outcome}")
        reports += chunks.reports
    return reports


def behaviour(reports: Sequence[SaiReport], plan: Plan) -> dict[str, Any]:
    """Of the chunks of whole episodes with one mode. Errors are relative to the feature; NFE per chunk.

    wasted: evaluations beyond those of a sequential chunk, made on idle time but for a verification's.
    """
    speculated = [report for report in reports if math.isfinite(report.surrogate_error)]
    wasted = [report.nfe_total - plan.video_steps - plan.action_steps + report.steps_cut for report in reports]
    better = sum(report.surrogate_error < report.copy_error for report in speculated)
    return {
        "chunks": len(reports),
        "with_a_surrogate": len(speculated),
        "surrogate_error": _quantiles(report.surrogate_error for report in speculated),
        "copy_error": _quantiles(report.copy_error for report in speculated),
        "better_than_copying": round(better / len(speculated), 4) if speculated else None,
        "re_entry": dict(
            sorted(Counter(point_name(report.re_entry_video_s, report.re_entry_s) for report in reports).items())
        ),
        "nfe_blocking_mean": rounded(mean(float(report.nfe_blocking) for report in reports), 3),
        "nfe_total_mean": rounded(mean(float(report.nfe_total) for report in reports), 3),
        "nfe_wasted_mean": rounded(mean(float(value) for value in wasted), 3),
    }


def coverage(trials: Trials, calibration: Calibration, bound: float = BOUND) -> dict[str, Any]:
    """How often the deviation stated for the point that `adaptive` chooses is kept, on trials of other episodes.

    Over all trials (as mixed as the calibration's), and the undisturbed and disturbed ones apart; `points` are all
    re-entry points with a finite bound, whether chosen or not. Deviations in mm.
    """
    kinds = {
        "all": np.ones(len(trials), dtype=bool),
        "undisturbed": ~trials.moved,
        "disturbed": trials.moved,
    }
    return {
        "stated": calibration.coverage,
        "bound_mm": 1e3 * bound,
        **{name: _coverage(trials.take(mask), calibration, bound) for name, mask in kinds.items()},
    }


def _coverage(trials: Trials, calibration: Calibration, bound: float) -> dict[str, Any]:
    mode = Adaptive(bound, calibration)
    end = Point(calibration.plan.video_steps, calibration.plan.action_steps)
    chosen = [mode.choose(end, calibration.plan, float(value)) for value in trials.disagreement]
    if not len(trials):
        return {"trials": 0}
    deviations = np.column_stack([np.zeros(len(trials)), trials.deviations()])
    columns = [0 if point == START else 1 + calibration.points.index(point) for point in chosen]
    strayed = deviations[np.arange(len(trials)), columns]
    stated = [
        mode.expected_deviation(point, float(value)) for point, value in zip(chosen, trials.disagreement, strict=True)
    ]
    found = {
        "trials": len(trials),
        "chosen": _kept(strayed, np.array(stated)),
        "within_bound": _kept(strayed, np.full(len(trials), bound)),
        "deviation_mm": _quantiles(1e3 * strayed),
        "from_the_start": round(float(np.mean([point == START for point in chosen])), 4),
        "points": {},
    }
    expected = [calibration.expected(float(value)) for value in trials.disagreement]
    for column, point in enumerate(calibration.points, start=1):
        promised = np.array([bounds[point] for bounds in expected])
        finite = np.isfinite(promised)
        found["points"][calibration.plan.name(point)] = {
            **_kept(deviations[finite, column], promised[finite]),
            "deviation_mm": _quantiles(1e3 * deviations[:, column]),
        }
    return found


def _kept(strayed: NDArray[np.float64], allowed: NDArray[np.float64]) -> dict[str, Any]:
    kept = int((strayed <= allowed).sum())
    return {
        "trials": len(strayed),
        "kept": kept,
        "share": round(kept / len(strayed), 4) if len(strayed) else None,
        "wilson95": [round(value, 4) for value in wilson95(kept, len(strayed))],
    }


def _quantiles(values: Iterable[float]) -> dict[str, float | None]:
    return quantiles(values, {"p10": 0.1, "median": 0.5, "p95": 0.95, "max": 1.0})


def as_tables(report: dict[str, Any]) -> list[Table]:
    """The report for people; the JSON file has all of it."""
    columns = ("mode", "surrogate error", "copying", "better", "NFE blocking", "total", "wasted", "re-entry")
    rows = [
        [
            mode,
            text(found["surrogate_error"]["median"], "{:.3f}"),
            text(found["copy_error"]["median"], "{:.3f}"),
            text(found["better_than_copying"], "{:.0%}"),
            *(text(found[name], "{:.1f}") for name in ("nfe_blocking_mean", "nfe_total_mean", "nfe_wasted_mean")),
            ", ".join(f"{name}: {count}" for name, count in found["re_entry"].items()),
        ]
        for mode, found in report["modes"].items()
    ]
    held = report["coverage"]
    title = f"stated deviation kept, {held['stated']:.0%} promised; bound {held['bound_mm']:g} mm"
    return [Rows(columns, rows).table("chunks of whole episodes"), page_tables(report)[0].table(title)]


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """How often bounds are kept: one row per kind of chunk."""
    header = ["chunks", "stated deviation kept", "Wilson 95 %", "within the bound", "deviation median / p95 mm"]
    rows = []
    for kind in ("all", "undisturbed", "disturbed"):
        found = report["coverage"][kind]
        if found["trials"]:
            deviation = found["deviation_mm"]
            rows.append(
                [
                    f"{kind}, {found['trials']}",
                    f"{100 * found['chosen']['share']:.1f} %",
                    percent(found["chosen"]["wilson95"]),
                    f"{100 * found['within_bound']['share']:.1f} %",
                    f"{deviation['median']:.2f} / {deviation['p95']:.2f}",
                    f"{100 * found['from_the_start']:.0f} %",
                ]
            )
    return [Rows([*header, "from the start"], rows, on_page=5)]


def draw_speculation(report: dict[str, Any]) -> Figure:
    """Re-entry by mode; evaluations by mode; coverage by re-entry point against what is stated."""
    figure, (entry, work, kept) = panels(3, 13, 3.4)
    modes = report["modes"]
    names = sorted({name for found in modes.values() for name in found["re_entry"]}, key=_in_program_order)
    for index, (mode, found) in enumerate(modes.items()):
        at = np.arange(len(names)) + 0.27 * (index - (len(modes) - 1) / 2)
        shares = [100 * found["re_entry"].get(name, 0) / max(found["chunks"], 1) for name in names]
        entry.bar(at, shares, 0.25, color=COLOURS.get(mode), label=mode)
        blocking, total = found["nfe_blocking_mean"] or 0.0, found["nfe_total_mean"] or 0.0
        work.barh(mode, blocking, color="#c44e52", label="arms wait" if index == 0 else None)
        work.barh(mode, total - blocking, left=blocking, color="#c6dbc9", label="idle time" if index == 0 else None)
    entry.set_xticks(range(len(names)), [_broken(name) for name in names])
    entry.set(xlabel="resumed at s", ylabel="chunks [%]")
    entry.legend(fontsize=8)
    work.set(xlabel="function evaluations per chunk, mean")
    work.legend(fontsize=8)
    held = report["coverage"]
    for kind, marker in (("undisturbed", "o"), ("disturbed", "s")):
        points = [(name, found) for name, found in held[kind].get("points", {}).items() if found["trials"]]
        at = np.arange(len(points)) + (0.0 if kind == "undisturbed" else 0.15)
        shares = 100 * np.array([found["share"] for _, found in points])
        ends = 100 * np.array([found["wilson95"] for _, found in points]).reshape(-1, 2)
        kept.errorbar(at, shares, np.abs(ends.T - shares), fmt=marker, markersize=4, label=kind)
        kept.set_xticks(range(len(points)), [_broken(name) for name, _ in points])
    kept.axhline(100 * held["stated"], color="black", linestyle=":", linewidth=1)
    kept.set(xlabel="resumed at s", ylabel="stated deviation kept [%]")
    kept.legend(fontsize=8, loc="lower left")
    return figure


def _broken(name: str) -> str:
    return name.replace(" at", "\nat")


def _in_program_order(name: str) -> tuple[int, float]:
    if name == "start":
        return 0, 0.0
    return (1 if name.startswith("stage 1") else 2), float(name.rpartition(" ")[2])
