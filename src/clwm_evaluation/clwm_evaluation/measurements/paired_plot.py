"""Pictures of paired episodes: success by mode, and by delay."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"sequential": "#c44e52", "fixed:0.5": "#4c72b0", "adaptive": "#55a868", "naive": "#8c8c8c"}
_OTHER = "#8172b3"


def draw_success(report: dict[str, Any]) -> Figure:
    """Rates with Wilson intervals by task, and paired differences to sequential with theirs."""
    groups = report["by_task"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained")
    modes = list(groups["all"]["modes"])
    for index, mode in enumerate(modes):
        at = np.arange(len(groups)) + 0.16 * (index - (len(modes) - 1) / 2)
        found = [group["modes"][mode] for group in groups.values()]
        _interval(left, at, [f["success_rate"] for f in found], [f["wilson95"] for f in found], mode)
        apart = [group["differences"].get(mode) for group in groups.values()]
        if all(apart):
            _interval(right, at, [f["difference"] for f in apart], [f["difference95"] for f in apart], mode)
    right.axvline(0.0, color="black", linewidth=0.8)
    for axes, title in ((left, "success, Wilson 95 % [%]"), (right, "minus sequential, paired, 95 % [points]")):
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_xlabel(title)
        axes.grid(axis="x", alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), fontsize=8, loc="outside upper center", ncols=4)
    return figure


def _interval(axes: Axes, at: np.ndarray, values: list[float], intervals: list[list[float]], mode: str) -> None:
    centre, ends = 100 * np.array(values), 100 * np.array(intervals)
    reach = np.abs(np.stack([centre - ends[:, 0], ends[:, 1] - centre]))
    axes.errorbar(centre, at, xerr=reach, fmt="o", markersize=4, color=COLOURS.get(mode, _OTHER), label=mode)


def draw_delay(report: dict[str, Any]) -> Figure:
    """Success with Wilson intervals, idle time and time to success against delay."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained", width_ratios=(2, 1, 1))
    delays = np.array([float(value) for value in report["delays"]])
    columns = [found["all"]["modes"] for found in report["delays"].values()]
    panels = (("success_rate", "success [%]", 100), ("idle_fraction", "idle [%]", 100))
    for index, mode in enumerate(columns[0]):
        colour = COLOURS.get(mode, _OTHER)
        for panel, (name, title, scale) in zip(
            axes, (*panels, ("seconds_to_success", "time to success [s]", 1)), strict=True
        ):
            values = [np.nan if column[mode][name] is None else scale * column[mode][name] for column in columns]
            # Side by side, since modes often agree.
            panel.plot(delays + 6.0 * index, values, "o-", markersize=4, color=colour, label=mode)
            panel.set(xlabel="delay from pictures to chunk [ms]", ylabel=title)
            panel.grid(alpha=0.3)
        ends = 100 * np.array([column[mode]["wilson95"] for column in columns])
        axes[0].vlines(delays + 6.0 * index, ends[:, 0], ends[:, 1], color=colour, alpha=0.5)
    axes[0].set_ylim(-3, 103)
    axes[0].legend(fontsize=8, loc="lower left")
    return figure
