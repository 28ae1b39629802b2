"""Picture of a speculation measurement: where chunks are resumed, what is wasted, and whether bounds are kept."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from clwm_evaluation.measurements.paired_plot import COLOURS


def draw_speculation(report: dict[str, Any]) -> Figure:
    """Re-entry by mode; evaluations by mode; coverage by re-entry point against what is stated."""
    figure, (entry, work, kept) = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
    modes = report["modes"]
    names = sorted({name for found in modes.values() for name in found["re_entry"]}, key=_in_program_order)
    for index, (mode, found) in enumerate(modes.items()):
        at = np.arange(len(names)) + 0.27 * (index - (len(modes) - 1) / 2)
        shares = [100 * found["re_entry"].get(name, 0) / max(found["chunks"], 1) for name in names]
        entry.bar(at, shares, 0.25, color=COLOURS.get(mode), label=mode)
        blocking, total = found["nfe_blocking_mean"] or 0.0, found["nfe_total_mean"] or 0.0
        work.barh(mode, blocking, color="#c44e52", label="arms wait" if index == 0 else None)
        work.barh(mode, total - blocking, left=blocking, color="#c6dbc9", label="idle time" if index == 0 else None)
    entry.set_xticks(range(len(names)), [_broken(name) for name in names])
    entry.set(xlabel="resumed at s", ylabel="chunks [%]")
    entry.legend(fontsize=8)
    work.set(xlabel="function evaluations per chunk, mean")
    work.legend(fontsize=8)
    held = report["coverage"]
    for kind, marker in (("undisturbed", "o"), ("disturbed", "s")):
        points = [(name, found) for name, found in held[kind].get("points", {}).items() if found["trials"]]
        at = np.arange(len(points)) + (0.0 if kind == "undisturbed" else 0.15)
        shares = 100 * np.array([found["share"] for _, found in points])
        ends = 100 * np.array([found["wilson95"] for _, found in points]).reshape(-1, 2)
        kept.errorbar(at, shares, np.abs(ends.T - shares), fmt=marker, markersize=4, label=kind)
        kept.set_xticks(range(len(points)), [_broken(name) for name, _ in points])
    kept.axhline(100 * held["stated"], color="black", linestyle=":", linewidth=1)
    kept.set(xlabel="resumed at s", ylabel="stated deviation kept [%]")
    kept.legend(fontsize=8, loc="lower left")
    return figure


def _broken(name: str) -> str:
    return name.replace(" at", "\nat")


def _in_program_order(name: str) -> tuple[int, float]:
    if name == "start":
        return 0, 0.0
    return (1 if name.startswith("stage 1") else 2), float(name.rpartition(" ")[2])
