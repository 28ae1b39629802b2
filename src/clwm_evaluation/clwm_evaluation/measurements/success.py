"""`clwm bench success`: success of the re-entry modes on the same seeds, and whether they differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import TASKS, Source
from clwm_evaluation.measurements.paired_episodes import (
    BASELINE,
    Disturb,
    LedgerFile,
    Modes,
    PairedEpisodesError,
    compare,
    played,
)
from clwm_evaluation.plots import COLOURS, OTHER, panels
from clwm_evaluation.report import FirstSeed, Measured, Rows, Workers, measurement, paired_difference, percent, text
from clwm_policy.model.checkpoint import CheckpointError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST_SEED = 7_000_000


@measurement(CheckpointError, PairedEpisodesError)
def success(
    console: PlainConsole,
    episodes: Annotated[int, typer.Option(min=1, help="per task and mode")] = 100,
    modes: Modes = None,
    delay: Annotated[float, typer.Option(min=0.0, help="ms from the pictures to the chunk, for every mode")] = 80.0,
    disturb: Disturb = 0.0,
    *,
    source: Source,
    first_seed: FirstSeed = FIRST_SEED,
    workers: Workers = 1,
    ledger: LedgerFile = Path("out/bench/success.jsonl"),
) -> Measured:
    """Success of sequential, fixed, adaptive and naive on the same seeds of both tasks, under a virtual clock.

    Every mode has the same delay, so that only what the chunks are worth differs. Paired differences to sequential come
    with a 95 % interval and McNemar's exact test. An interrupted measurement goes on where it stopped.
    """
    seeds = range(first_seed, first_seed + episodes)
    outcomes, names, made_with = played(console, source, seeds, TASKS, modes, [delay], disturb, workers, ledger)
    report = {
        "delay_ms": delay,
        "disturb": disturb,
        "by_task": compare(outcomes, names),
        "model": source.model,
        "made_with": made_with,
    }
    title = f"success, delay {delay:g} ms; difference: paired, in points, to {BASELINE}"
    return Measured(report, [page_tables(report)[0].table(title, left=2)], lambda: draw_success(report))


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row per task and mode."""
    header = ["tasks", "mode", "success", "Wilson 95 %", "points to sequential (95 %)", "McNemar exact p"]
    rows = [
        [
            task,
            mode,
            f"{found['successes']} / {found['episodes']}",
            percent(found["wilson95"]),
            *paired_difference(group["differences"].get(mode)),
            text(found.get("idle_fraction"), "{:.1%}"),
            text(found.get("seconds_to_success"), "{:.2f}"),
        ]
        for task, group in report["by_task"].items()
        for mode, found in group["modes"].items()
    ]
    return [Rows([*header, "idle", "seconds"], rows, on_page=6)]


def draw_success(report: dict[str, Any]) -> Figure:
    """Rates with Wilson intervals by task, and paired differences to sequential with theirs."""
    groups = report["by_task"]
    figure, (left, right) = panels(2, 11, 3.2)
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
    axes.errorbar(centre, at, xerr=reach, fmt="o", markersize=4, color=COLOURS.get(mode, OTHER), label=mode)
