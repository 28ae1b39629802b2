"""`clwm bench surprise`: an object is moved while a chunk runs; what does the next chunk make of it?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import KeptTrials, Source, recorded_trials
from clwm_evaluation.calibration.trials import Trials, TrialsError
from clwm_evaluation.plots import COLOURS, dots_and_box, panels
from clwm_evaluation.report import Measured, Rows, Workers, measurement, text
from clwm_evaluation.statistics import auroc, spread, wilson95
from clwm_policy.engine.calibration import FILE_NAME, Calibration, CalibrationError, load_calibration
from clwm_policy.engine.re_entry import BOUND, START, Adaptive, Fixed, Plan, Point, ReEntryPolicy, Sequential
from clwm_policy.engine.refinement import refinements
from clwm_policy.model.checkpoint import CheckpointError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST_SEED = 5_000_000  # apart from those of the calibration
PREVIEWS = 2  # one of each stage
CHANGE_MIN = 0.005  # m: an event that changes the plan by less says nothing about a mode
_CHUNK_AXES = (1, 2, 3)  # rows, arms, xyz
_SHOWN = (-25.0, 150.0)  # %: a few events lie outside; their dots are drawn at the edge


@measurement(CheckpointError, CalibrationError, TrialsError)
def surprise(
    console: PlainConsole,
    source: Source,
    episodes: Annotated[int, typer.Option(min=1, help="per task")] = 40,
    first_seed: Annotated[int, typer.Option(min=0)] = FIRST_SEED,
    workers: Workers = 2,
    trials_folder: KeptTrials = None,
) -> Measured:
    """What the next chunk makes of a surprise: sequential, fixed, adaptive and naive, from the same state and noise.

    Trials that are in the folder are not run again, so an interrupted measurement goes on where it stopped.
    """
    loaded, _, plan, checkpoint = source.load()
    calibration = load_calibration(checkpoint.with_name(FILE_NAME), loaded, plan)
    trials = recorded_trials(source, episodes, first_seed, workers, console, trials_folder)
    report = measure_surprise(trials, calibration) | {
        "policy_hash": loaded.policy_hash,
        "encoder_hash": loaded.encoder_hash,
    }
    title = (
        f"{report['pairs_that_matter']} of {report['pairs']} events change the plan; "
        f"{report['undisturbed']} undisturbed chunks"
    )
    return Measured(report, [page_tables(report)[0].table(title)], lambda: draw_surprise(report))


def measure_surprise(trials: Trials, calibration: Calibration, bound: float = BOUND) -> dict[str, Any]:
    """The report of `clwm bench surprise`. Lengths in mm of tool motion, NFE per chunk.

    share_made: the part of the sequential chunk's change (disturbed minus undisturbed, same state and noise) that a
    mode's chunk makes, by projection; 1 is all of it. uncorrected: distance that remains to the sequential chunk,
    relative to that change. Chunks that never calibrate (naive) make none of it.
    """
    before, after = trials.pairs()
    nominal = trials.take(~trials.moved)
    change = _positions(after, START, calibration) - _positions(before, START, calibration)
    size = np.linalg.norm(change, axis=-1).max(axis=(1, 2)) if len(after) else np.zeros(0)
    matters = size >= CHANGE_MIN
    modes: dict[str, ReEntryPolicy] = {
        "sequential": Sequential(),
        "fixed:0.5": Fixed(0.5),
        "adaptive": Adaptive(bound, calibration),
        "naive": Fixed(1.0),
    }
    calm, stirred = nominal.disagreement, after.disagreement
    report: dict[str, Any] = {
        "trials": len(trials),
        "undisturbed": len(nominal),
        "pairs": len(after),
        "pairs_that_matter": int(matters.sum()),
        "change_mm": spread(1e3 * size[matters]),
        "bound_mm": 1e3 * bound,
        "stated_coverage": calibration.coverage,
        "auroc_all_events": auroc(calm, stirred),
        "auroc_events_that_matter": auroc(calm, stirred[matters]),
        "modes": {},
    }
    for name, mode in modes.items():
        moved = _chunks(after, mode, calibration)[..., :3]
        made = _share(moved - _chunks(before, mode, calibration)[..., :3], change)[matters]
        rest = _norm(moved - _positions(after, START, calibration)) / np.maximum(_norm(change), 1e-9)
        report["modes"][name] = {
            "share_made": spread(made),
            "share_made_each": [round(float(value), 4) for value in made],
            "uncorrected": spread(rest[matters]),
            "undisturbed": _behaviour(nominal, mode, calibration, bound),
            "disturbed": _behaviour(after, mode, calibration, bound),
        }
    return report


def _choices(trials: Trials, mode: ReEntryPolicy, calibration: Calibration) -> list[Point]:
    end = Point(calibration.plan.video_steps, calibration.plan.action_steps)
    return [mode.choose(end, calibration.plan, float(value)) for value in trials.disagreement]


def _chunks(trials: Trials, mode: ReEntryPolicy, calibration: Calibration) -> NDArray[np.float64]:
    """(n, 12, 2, 7) tool poses of the chunks that `mode` would have sent."""
    if isinstance(mode, Fixed):
        return trials.naive if mode.s_mid == 1.0 else trials.fixed
    index = [_index(point, calibration) for point in _choices(trials, mode, calibration)]
    return trials.tools[np.arange(len(trials)), index]


def _positions(trials: Trials, point: Point, calibration: Calibration) -> NDArray[np.float64]:
    return trials.tools[:, _index(point, calibration), ..., :3]


def _index(point: Point, calibration: Calibration) -> int:
    return 0 if point == START else 1 + calibration.points.index(point)


def _behaviour(trials: Trials, mode: ReEntryPolicy, calibration: Calibration, bound: float) -> dict[str, Any]:
    if not len(trials):
        return {}
    plan, points = calibration.plan, _choices(trials, mode, calibration)
    deviation = trials.deviation(_chunks(trials, mode, calibration))
    kept = int((deviation <= bound).sum())
    nfe = [_blocking_evaluations(point, plan, mode.verifies) for point in points]
    return {
        "deviation_mm": spread(1e3 * deviation),
        "within_bound": round(kept / len(trials), 4),
        "within_bound_wilson95": [round(value, 4) for value in wilson95(kept, len(trials))],
        "from_the_start": round(float(np.mean([point == START for point in points])), 4),
        "nfe_blocking": {"mean": round(float(np.mean(nfe)), 3), "p50": float(np.median(nfe))},
        "re_entry": dict(sorted(Counter(plan.name(point) for point in points).items())),
    }


def _blocking_evaluations(point: Point, plan: Plan, verifies: bool) -> int:
    if verifies and point != START:
        return PREVIEWS + refinements(plan)[point].nfe
    return PREVIEWS * verifies + plan.video_steps - point.video + plan.action_steps - point.action


def _share(made: NDArray[np.float64], change: NDArray[np.float64]) -> NDArray[np.float64]:
    return (made * change).sum(axis=_CHUNK_AXES) / np.maximum((change**2).sum(axis=_CHUNK_AXES), 1e-12)


def _norm(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt((difference**2).sum(axis=_CHUNK_AXES))


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row per mode."""
    header = ["mode", "share of the change made, median (p10)", "undisturbed: deviation p95 mm", "within the bound"]
    rows = []
    for mode, found in report["modes"].items():
        share, calm, stirred = found["share_made"], found["undisturbed"], found["disturbed"]
        evaluations = (text(part and part["nfe_blocking"]["mean"], "{:.1f}") for part in (calm, stirred))
        rows.append(
            [
                mode,
                "-" if share["median"] is None else f"{100 * share['median']:.0f} % ({100 * share['p10']:.0f} %)",
                f"{calm['deviation_mm']['p95']:.2f}",
                f"{100 * calm['within_bound']:.1f} %",
                " / ".join(evaluations),
                f"{100 * calm['from_the_start']:.0f} %",
            ]
        )
    return [Rows([*header, "NFE blocking, undisturbed / disturbed", "from the start"], rows, on_page=5)]


def draw_surprise(report: dict[str, Any]) -> Figure:
    """From a report of `measure_surprise`: a dot per event and its box, and beside it blocking evaluations."""
    names = list(report["modes"])
    figure, (left, right) = panels(2, 11, 3.4, width_ratios=(5, 3), sharey=True)
    dots_and_box(left, names, [100 * np.array(report["modes"][name]["share_made_each"]) for name in names], _SHOWN)
    left.axvline(100.0, color="black", linewidth=0.8, linestyle=":")
    left.set(xlim=_SHOWN, xlabel="share of the sequential chunk's change that is made [%]")
    left.set_title(
        f"an object moved by 3 cm: {report['pairs_that_matter']} events that change the plan", fontsize=10, loc="left"
    )
    _draw_evaluations(right, report, names)
    left.invert_yaxis()
    return figure


def _draw_evaluations(axes: Axes, report: dict[str, Any], names: list[str]) -> None:
    for height, name in enumerate(names):
        for shift, what, alpha in ((-0.17, "undisturbed", 0.95), (0.17, "disturbed", 0.45)):
            found = report["modes"][name][what]
            if found:
                mean, median = found["nfe_blocking"]["mean"], found["nfe_blocking"]["p50"]
                axes.barh(height + shift, mean, height=0.3, color=COLOURS.get(name), alpha=alpha)
                axes.text(mean, height + shift, f" {mean:.1f} {what}, median {median:g}", va="center", fontsize=7)
    axes.margins(x=0.75)  # room for the texts beside the bars
    axes.set_xlabel("function evaluations after the observation, mean")
    axes.set_title("what the arms wait for", fontsize=10, loc="left")
