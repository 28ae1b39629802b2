"""Picture of a latency measurement: the distribution of blocking by mode, and what its median is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from clwm_evaluation.measurements.latency_report import SPLIT, Turn

COLOURS = {"sequential": "#c44e52", "fixed:0.5": "#4c72b0", "adaptive": "#55a868"}
_PARTS = ("#ccb974", "#bbbbbb", "#555555", "#e8a87c", "#dd8452", "#c44e52", "#8172b3")


def draw_latency(turns: Sequence[Turn], report: dict[str, Any], budget: float) -> Figure:
    """budget: s between an observation and the end of the committed tail; a later chunk makes the arms brake."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.2), layout="constrained", width_ratios=(3, 2))
    names = list(report["modes"])
    rng = np.random.default_rng(0)
    for height, name in enumerate(names):
        values = 1e3 * np.array([c.blocking for turn in turns if turn.mode == name for c in turn.measured])
        colour = COLOURS.get(name, "#8172b3")
        left.scatter(values, height + rng.uniform(-0.28, 0.28, len(values)), s=6, alpha=0.35, color=colour, linewidth=0)
        left.boxplot(
            [values],
            positions=[height],
            orientation="horizontal",
            widths=0.5,
            whis=(5, 95),
            showfliers=False,
            medianprops={"color": "black", "linewidth": 2},
        )
    left.axvline(1e3 * budget, color="black", linestyle=":", linewidth=1)
    left.text(1e3 * budget, len(names) - 0.45, "later: the arms brake ", fontsize=8, ha="right")
    left.set_yticks(range(len(names)), names)
    left.set_ylim(-0.6, len(names) - 0.2)
    left.set_xlim(left=0)
    left.set_xlabel("blocking: capture of the observation to the first command [ms]")
    left.set_title("every chunk; box: quartiles, whiskers: 5 to 95 %", fontsize=9, loc="left")
    start = np.zeros(len(names))
    for part, colour in zip(SPLIT, _PARTS, strict=True):
        width = np.array([report["modes"][name]["split_ms"][part]["p50"] or 0.0 for name in names])
        right.barh(names, width, left=start, color=colour, label=part, height=0.55)
        start += width
    right.set_xlabel("medians of the parts [ms]")
    right.legend(fontsize=7, ncols=len(SPLIT), loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=0.8)
    return figure
