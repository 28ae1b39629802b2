"""What a data set says of each feature: range, mean, spread and quantiles, of an episode and of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

Statistics = dict[str, NDArray]


def of_numbers(values: NDArray) -> Statistics:
    """Of one feature's values (frames, n): each (n,), `count` (1,); min and max keep the type."""
    wide = values.astype(np.float64)
    found = {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": wide.mean(axis=0),
        "std": wide.std(axis=0),
        "count": np.array([len(values)]),
    }
    quantiles = np.quantile(wide, list(QUANTILES.values()), axis=0)
    return found | dict(zip(QUANTILES, quantiles, strict=True))


def of_pictures(pictures: NDArray[np.uint8], frames: int) -> Statistics:
    """Of RGB pictures (n, height, width, 3), scaled to 0..1, a channel each: (3, 1, 1). frames: that show them."""
    levels = np.arange(256) / 255.0
    columns = []
    for channel in range(3):
        histogram = np.bincount(pictures[..., channel].ravel(), minlength=256)
        share = np.cumsum(histogram) / histogram.sum()
        present = np.flatnonzero(histogram)
        mean = float(histogram @ levels / histogram.sum())
        spread = float(histogram @ (levels - mean) ** 2 / histogram.sum()) ** 0.5
        quantiles = [levels[np.searchsorted(share, q)] for q in QUANTILES.values()]
        columns.append([levels[present[0]], levels[present[-1]], mean, spread, *quantiles])
    names = ("min", "max", "mean", "std", *QUANTILES)
    found = {name: column.reshape(3, 1, 1) for name, column in zip(names, np.transpose(columns), strict=True)}
    return found | {"count": np.array([frames])}


class Accumulated:
    """Of all episodes so far, from those of each: means weighted by frames, as LeRobot itself has the quantiles."""

    def __init__(self) -> None:
        self._sums: dict[str, Statistics] = {}

    def add(self, episode: Mapping[str, Statistics]) -> None:
        """episode: the statistics of each feature."""
        for name, new in episode.items():
            old = self._sums.get(name)
            weight = new["count"][0]
            square = new["std"] ** 2 + np.asarray(new["mean"]) ** 2
            weighted = {key: new[key] * weight for key in ("mean", *QUANTILES)} | {"square": square * weight}
            if old is None:
                self._sums[name] = weighted | {key: new[key] for key in ("min", "max", "count")}
                continue
            self._sums[name] = {key: old[key] + weighted[key] for key in weighted} | {
                "min": np.minimum(old["min"], new["min"]),
                "max": np.maximum(old["max"], new["max"]),
                "count": old["count"] + new["count"],
            }

    def result(self) -> dict[str, dict[str, Any]]:
        """By feature and statistic, as lists."""
        return {name: as_lists(self._whole(sums)) for name, sums in self._sums.items()}

    @staticmethod
    def _whole(sums: Statistics) -> Statistics:
        count = sums["count"][0]
        means = {key: sums[key] / count for key in ("mean", *QUANTILES)}
        spread = np.sqrt(np.maximum(sums["square"] / count - means["mean"] ** 2, 0.0))
        return {"min": sums["min"], "max": sums["max"], "std": spread, "count": sums["count"]} | means


def as_lists(statistics: Mapping[str, NDArray]) -> dict[str, Any]:
    """In the order in which LeRobot writes them."""
    return {key: statistics[key].tolist() for key in ("min", "max", "mean", "std", "count", *QUANTILES)}
