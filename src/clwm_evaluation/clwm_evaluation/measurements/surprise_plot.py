"""The headline picture: how much of a surprise the next chunk takes in, and what that costs, mode by mode."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clwm_evaluation.measurements.paired_plot import COLOURS

_SHOWN = (-25.0, 150.0)  # %: a few events lie outside; their dots are drawn at the edge


def draw_surprise(report: dict[str, Any]) -> Figure:
    """From a report of `measure_surprise`: a dot per event and its box, and beside it blocking evaluations."""
    names = list(report["modes"])
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.4), layout="constrained", width_ratios=(5, 3), sharey=True
    )
    _draw_shares(left, report, names)
    _draw_evaluations(right, report, names)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    return figure


def _draw_shares(axes: Axes, report: dict[str, Any], names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for height, name in enumerate(names):
        shares = 100 * np.array(report["modes"][name]["share_made_each"])
        jitter = height + rng.uniform(-0.3, 0.3, len(shares))
        axes.scatter(np.clip(shares, *_SHOWN), jitter, s=8, alpha=0.35, color=COLOURS.get(name), linewidth=0)
        if len(shares):
            axes.boxplot(
                [shares],
                positions=[height],
                orientation="horizontal",
                widths=0.5,
                whis=(5, 95),
                showfliers=False,
                medianprops={"color": "black", "linewidth": 2},
            )
    axes.axvline(100.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(*_SHOWN)
    axes.set_xlabel("share of the sequential chunk's change that is made [%]")
    axes.set_title(
        f"an object moved by 3 cm: {report['pairs_that_matter']} events that change the plan", fontsize=10, loc="left"
    )


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
