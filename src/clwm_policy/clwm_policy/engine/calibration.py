"""From how much a speculation is contradicted to how far its chunk would stray: the map that `adaptive` trusts.

The map is a table: the disagreement falls into a bin, and for each re-entry point the bin holds a conformal quantile of
the deviations from the sequential chunk seen there. Within a bin the choice of a point is fixed, so choosing by the
table does not spoil its coverage (Mondrian conformal prediction). A table holds for the weights it was measured on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeFloat, PositiveInt, ValidationError, model_validator

from clwm_common.files.config_files import Strict, explain
from clwm_common.files.signed_documents import document_hash, read_signed
from clwm_policy.engine.re_entry import Plan, Point
from clwm_policy.engine.refinement import refinements
from clwm_policy.model.checkpoint import CheckpointError, Policy

FORMAT = "clwm-calibration/3"
FILE_NAME = "calibration.json"
COVERAGE = 0.95
SURROGATE_COVERAGE = 0.99
BIN_SAMPLES = 40  # at 95 % a finite quantile takes 19; twice that keeps one freak sample from deciding
BINS_MAX = 12  # beyond that more samples make the quantiles sharper, not the bins narrower
_REMEDY = "run `clwm calibrate`"


class CalibrationError(CheckpointError):
    """A calibration that is missing, damaged or of other weights; the message says what to run."""


class _Document(Strict):
    """What the file holds. bounds: None where too little was seen, for JSON has no infinity."""

    format: str
    policy_sha256: str
    encoder_sha256: str
    video_steps: PositiveInt
    action_steps: PositiveInt
    coverage: float = Field(gt=0.0, lt=1.0)
    edges: list[NonNegativeFloat] = Field(min_length=1)
    evaluations: list[list[list[int]]]
    bounds: list[list[NonNegativeFloat | None]]
    facts: dict[str, Any]
    surrogate_error_limit: NonNegativeFloat | None = None
    document_sha256: str

    @model_validator(mode="after")
    def _is_a_table(self) -> _Document:
        if self.edges != sorted(self.edges):
            raise ValueError("edges do not ascend")
        shape = len(self.edges), len(self.evaluations)
        if len(self.bounds) != shape[0] or any(len(row) != shape[1] for row in self.bounds):
            raise ValueError(f"bounds are not a table of {shape[0]} bins and {shape[1]} points")
        return self


@dataclass(frozen=True)
class Calibration:
    """The table and what it belongs to.

    edges: (bins,) upper ends [m], ascending. bounds: (bins, points) deviation [m] not exceeded with probability
    `coverage`; infinite where too little was seen. facts: how it was measured, for people. surrogate_error_limit:
    relative error that undisturbed chunks hardly exceed; None when it was not measured.
    """

    plan: Plan
    coverage: float
    edges: tuple[float, ...]
    bounds: tuple[tuple[float, ...], ...]
    policy_hash: str
    encoder_hash: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    # Not in the repr: it decides on an alarm, and `facts` hashes what decides on chunks.
    surrogate_error_limit: float | None = field(default=None, repr=False)

    @property
    def points(self) -> tuple[Point, ...]:
        """Re-entry points in program order."""
        return tuple(refinements(self.plan))

    def expected(self, disagreement: float) -> dict[Point, float]:
        """Deviation bound [m] of every re-entry point at this disagreement [m]; infinite beyond what was ever seen."""
        index = int(np.searchsorted(self.edges, disagreement)) if math.isfinite(disagreement) else len(self.edges)
        if index >= len(self.edges):
            return dict.fromkeys(self.points, math.inf)
        return dict(zip(self.points, self.bounds[index], strict=True))


def conformal_quantile(values: ArrayLike, coverage: float) -> float:
    """The smallest bound that a further exchangeable value exceeds with probability at most 1 - coverage.

    Infinite when there are too few values for any.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = math.ceil((len(ordered) + 1) * coverage - 1e-9)
    return float(ordered[rank - 1]) if 1 <= rank <= len(ordered) else math.inf


def fit_surrogate_error_limit(errors: ArrayLike, coverage: float = SURROGATE_COVERAGE) -> float:
    """The surrogate error that a further undisturbed chunk exceeds with probability at most 1 - coverage.

    errors: (n,) relative. Raises CalibrationError when there are too few, or one is not finite.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if not np.isfinite(errors).all():
        raise CalibrationError("a measured surrogate error is not finite; is the policy trained?")
    limit = conformal_quantile(errors, coverage)
    if not math.isfinite(limit):
        needed = math.ceil(coverage / (1.0 - coverage) - 1e-9)
        raise CalibrationError(f"{len(errors)} surrogate errors; at least {needed} are needed: run more episodes")
    return limit


def fit_table(
    disagreements: ArrayLike, deviations: ArrayLike, coverage: float = COVERAGE, bin_samples: int = BIN_SAMPLES
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Edges and bounds of a `Calibration` from n samples: disagreements (n,) and deviations (n, points), in m.

    At most BINS_MAX bins hold at least about `bin_samples` each, and a larger disagreement never has the smaller bound.
    Raises CalibrationError when there are fewer samples than one bin needs, or one is not finite.
    """
    d, deviations = np.asarray(disagreements, dtype=np.float64), np.asarray(deviations, dtype=np.float64)
    if not 0.0 < coverage < 1.0:
        raise CalibrationError(f"coverage {coverage}; expected between 0 and 1, such as {COVERAGE}")
    if len(d) < bin_samples:
        raise CalibrationError(f"{len(d)} speculated chunks; at least {bin_samples} are needed: run more episodes")
    if not (np.isfinite(d).all() and np.isfinite(deviations).all()):
        raise CalibrationError("a measured disagreement or deviation is not finite; is the policy trained?")
    order = np.argsort(d, kind="stable")
    bins = np.array_split(order, min(len(d) // bin_samples, BINS_MAX))
    bounds = [[conformal_quantile(column, coverage) for column in deviations[members].T] for members in bins]
    bounds = np.maximum.accumulate(np.array(bounds), axis=0)
    return tuple(float(d[members[-1]]) for members in bins), tuple(tuple(map(float, row)) for row in bounds)


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write the table as JSON, by an atomic rename."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "policy_sha256": calibration.policy_hash,
        "encoder_sha256": calibration.encoder_hash,
        "video_steps": calibration.plan.video_steps,
        "action_steps": calibration.plan.action_steps,
        "coverage": calibration.coverage,
        "edges": list(calibration.edges),
        "evaluations": _evaluations(calibration.plan),
        # JSON has no infinity.
        "bounds": [[bound if math.isfinite(bound) else None for bound in row] for row in calibration.bounds],
        "facts": dict(calibration.facts),
    }
    if calibration.surrogate_error_limit is not None:
        document["surrogate_error_limit"] = calibration.surrogate_error_limit
    document["document_sha256"] = document_hash(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def load_calibration(path: Path, policy: Policy, plan: Plan) -> Calibration:
    """Read the table and check that it was measured on these weights, this encoder and this many steps.

    Raises CalibrationError.
    """
    document = read_signed(
        path,
        FORMAT,
        CalibrationError,
        absent=f"'adaptive' needs it: {_REMEDY}",
        foreign=f"a calibration (format is not '{FORMAT}'); {_REMEDY}",
        remedy=_REMEDY,
    )
    try:
        document = _Document.model_validate(document).model_dump()
    except ValidationError as error:
        raise CalibrationError(f"{explain(path, error, _Document)}; {_REMEDY}") from None
    for what, found, expected in (
        ("policy", document["policy_sha256"], policy.policy_hash),
        ("encoder", document["encoder_sha256"], policy.encoder_hash),
    ):
        if found != expected:
            raise CalibrationError(
                f"{path} was measured on {what} {found[:12]}..., the one in use is {expected[:12]}...; {_REMEDY}"
            )
    measured = Plan(document["video_steps"], document["action_steps"])
    if measured != plan:
        raise CalibrationError(
            f"{path} was measured with {measured.video_steps} + {measured.action_steps} flow steps, in use are "
            f"{plan.video_steps} + {plan.action_steps}; {_REMEDY} with these steps"
        )
    if document["evaluations"] != _evaluations(plan):
        raise CalibrationError(f"{path} was measured with other evaluations than chunks are refined by; {_REMEDY}")
    return Calibration(
        plan=measured,
        coverage=document["coverage"],
        edges=tuple(document["edges"]),
        bounds=tuple(tuple(math.inf if bound is None else bound for bound in row) for row in document["bounds"]),
        policy_hash=document["policy_sha256"],
        encoder_hash=document["encoder_sha256"],
        facts=document["facts"],
        surrogate_error_limit=document["surrogate_error_limit"],
    )


def _evaluations(plan: Plan) -> list[list[list[int]]]:
    return [[list(steps.video), list(steps.action)] for steps in refinements(plan).values()]
