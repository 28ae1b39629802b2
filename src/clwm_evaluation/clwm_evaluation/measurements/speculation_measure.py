"""What speculation is worth: its surrogate, its wasted work, its deviation, and whether its stated bounds hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.messages import SaiReport
from clwm_evaluation.calibration.trials import Trials
from clwm_evaluation.statistics import mean, wilson95
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.re_entry import BOUND, START, Adaptive, Plan, Point, point_name


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
        "nfe_blocking_mean": _rounded(mean(float(report.nfe_blocking) for report in reports)),
        "nfe_total_mean": _rounded(mean(float(report.nfe_total) for report in reports)),
        "nfe_wasted_mean": _rounded(mean(float(value) for value in wasted)),
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
    finite = np.array([value for value in values if math.isfinite(value)])
    names = {"p10": 0.1, "median": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(float(np.quantile(finite, q)), 4) if len(finite) else None for name, q in names.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
