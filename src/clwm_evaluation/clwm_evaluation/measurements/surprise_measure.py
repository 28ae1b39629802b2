"""What becomes of the next chunk when an object was moved while the last one ran, mode by mode."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_evaluation.calibration.trials import Trials
from clwm_evaluation.statistics import wilson95
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.re_entry import BOUND, START, Adaptive, Fixed, Plan, Point, ReEntryPolicy, Sequential
from clwm_policy.engine.refinement import refinements

_CHUNK_AXES = (1, 2, 3)  # rows, arms, xyz
PREVIEWS = 2  # one of each stage
CHANGE_MIN = 0.005  # m: an event that changes the plan by less says nothing about a mode


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
        "change_mm": _quantiles(1e3 * size[matters]),
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
            "share_made": _quantiles(made),
            "share_made_each": [round(float(value), 4) for value in made],
            "uncorrected": _quantiles(rest[matters]),
            "undisturbed": _behaviour(nominal, mode, calibration, bound),
            "disturbed": _behaviour(after, mode, calibration, bound),
        }
    return report


def auroc(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> float | None:
    """Chance that a positive lies above a negative, ties counted half; None without either."""
    if not len(negatives) or not len(positives):
        return None
    below = np.searchsorted(np.sort(negatives), positives, side="left")
    not_above = np.searchsorted(np.sort(negatives), positives, side="right")
    return round(float((below + not_above).sum() / (2 * len(negatives) * len(positives))), 4)


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
        "deviation_mm": _quantiles(1e3 * deviation),
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


def _quantiles(values: NDArray[np.float64]) -> dict[str, float | None]:
    names = {"p10": 0.1, "median": 0.5, "p95": 0.95}
    return {name: round(float(np.quantile(values, q)), 4) if len(values) else None for name, q in names.items()}
