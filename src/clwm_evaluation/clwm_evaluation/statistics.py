"""Numbers for reports: intervals and tests of success rates, percentiles and ratios of latencies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.proportions import wilson95


def quantiles(values: Iterable[float], names: Mapping[str, float], digits: int = 4) -> dict[str, float | None]:
    """Of the finite values, by name, rounded; None each when there are none. names: shares from 0 to 1."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return dict.fromkeys(names)
    found = np.quantile(finite, list(names.values()))
    return {name: round(float(value), digits) for name, value in zip(names, found, strict=True)}


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """p50, p95, p99 and max of the finite values, rounded to 1e-3; None each when there are none."""
    return quantiles(values, {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}, 3)


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """p10, median and p95 of the finite values, rounded to 1e-4; None each when there are none."""
    return quantiles(values, {"p10": 0.1, "median": 0.5, "p95": 0.95})


def rounded(value: float | None, digits: int = 4) -> float | None:
    """None stays None."""
    return None if value is None else round(value, digits)


def auroc(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> float | None:
    """Chance that a positive lies above a negative, ties counted half; None without either."""
    if not len(negatives) or not len(positives):
        return None
    from scipy.stats import mannwhitneyu  # takes a second to import

    above = mannwhitneyu(positives, negatives, method="asymptotic").statistic
    return round(float(above / (len(negatives) * len(positives))), 4)


def success_rate(successes: int, trials: int) -> dict[str, Any]:
    """`success_rate` and its `wilson95`, rounded to 1e-4; the rate of no trials is None."""
    return {
        "success_rate": round(successes / trials, 4) if trials else None,
        "wilson95": [round(end, 4) for end in wilson95(successes, trials)],
    }


def mean(values: Iterable[float]) -> float | None:
    """Mean of the finite values; None when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value that two paired rates are equal: exact binomial test of the discordant pairs at one half.

    only_first, only_second: pairs in which one of the two succeeded alone. Raises ValueError for negative counts.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"{only_first} and {only_second} discordant pairs; expected counts of at least 0")
    from scipy.stats import binomtest  # takes a second to import

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def paired_difference95(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float, float]:
    """Rate of the first minus rate of the second of paired trials, with its 95 % interval (difference, low, high).

    The score-based method 10 of Newcombe (1998): the Wilson intervals of both rates, combined by their correlation.
    Raises ValueError without any pair.
    """
    pairs = both + only_first + only_second + neither
    if pairs < 1 or min(both, only_first, only_second, neither) < 0:
        raise ValueError(f"{both}, {only_first}, {only_second}, {neither} pairs; expected counts, one of them above 0")
    first, second = both + only_first, both + only_second
    (low1, high1), (low2, high2) = wilson95(first, pairs), wilson95(second, pairs)
    p1, p2 = first / pairs, second / pairs
    margins = first * (pairs - first) * second * (pairs - second)
    excess = both * neither - only_first * only_second
    # Newcombe's continuity correction, for positive association only.
    excess = max(excess - pairs / 2, 0.0) if excess > 0 else excess
    phi = excess / math.sqrt(margins) if margins else 0.0
    down = (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2
    up = (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2
    difference = p1 - p2
    return difference, difference - math.sqrt(max(down, 0.0)), difference + math.sqrt(max(up, 0.0))


def compare_pairs(pairs: Sequence[tuple[bool, bool]]) -> dict[str, Any]:
    """Of trials (this one succeeded, the other one did): the counts, rate of this minus rate of the other with its 95 %
    interval, and McNemar's exact test.
    """
    both, only_this = pairs.count((True, True)), pairs.count((True, False))
    only_other, neither = pairs.count((False, True)), pairs.count((False, False))
    difference, low, high = paired_difference95(both, only_this, only_other, neither)
    return {
        "pairs": len(pairs),
        "both": both,
        "only_this": only_this,
        "only_other": only_other,
        "neither": neither,
        "difference": round(difference, 4),
        "difference95": [round(low, 4), round(high, 4)],
        "mcnemar_exact_p": float(f"{mcnemar_exact(only_this, only_other):.6g}"),
    }


def ratio_of_medians(
    numerator: Sequence[Sequence[float]],
    denominator: Sequence[Sequence[float]],
    seed: int = 0,
    resamples: int = 2000,
) -> dict[str, float] | None:
    """Median over median, with a 95 % percentile bootstrap interval; None when one side is empty.

    Both are grouped alike (one group per episode seed) and groups are drawn, since values of one episode depend on each
    other. Raises ValueError when they have different numbers of groups.
    """
    if len(numerator) != len(denominator):
        raise ValueError(f"{len(numerator)} and {len(denominator)} groups; expected the same episodes on both sides")
    above, below = ([np.asarray(group, dtype=np.float64) for group in side] for side in (numerator, denominator))
    if not sum(map(len, above)) or not sum(map(len, below)):
        return None
    rng, ratios = np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = rng.integers(len(above), size=len(above))
        top, bottom = np.concatenate([above[i] for i in drawn]), np.concatenate([below[i] for i in drawn])
        if len(top) and len(bottom):
            ratios.append(np.median(top) / np.median(bottom))
    low, high = np.percentile(ratios, [2.5, 97.5])
    ratio = np.median(np.concatenate(above)) / np.median(np.concatenate(below))
    return {"ratio": round(float(ratio), 4), "low95": round(float(low), 4), "high95": round(float(high), 4)}
