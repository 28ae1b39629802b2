"""Numbers for reports: Wilson intervals of a success rate, percentiles of a latency."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

_Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def wilson95(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927); (0, 1) without trials.

    Raises ValueError unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials; expected 0 <= successes <= trials")
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, _Z95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    # At the ends the interval touches 0 or 1 exactly; rounding must not carry it past.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """p50, p95, p99 and max of the finite values, rounded to 1e-3; None each when there are none."""
    finite = np.array([value for value in values if math.isfinite(value)])
    names = ("p50", "p95", "p99", "max")
    if not len(finite):
        return dict.fromkeys(names)
    found = np.percentile(finite, [50, 95, 99, 100])
    return {name: round(float(value), 3) for name, value in zip(names, found, strict=True)}


def mean(values: Iterable[float]) -> float | None:
    """Mean of the finite values; None when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
