"""`clwm bench delay`: how much delay between pictures and chunk the re-entry modes bear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import TASKS, Source
from clwm_evaluation.measurements.paired_episodes import (
    Disturb,
    Job,
    LedgerFile,
    Modes,
    Outcome,
    PairedEpisodesError,
    compare,
    played,
)
from clwm_evaluation.plots import COLOURS, OTHER, panels
from clwm_evaluation.report import FirstSeed, Measured, Rows, Workers, measurement, text
from clwm_policy.model.checkpoint import CheckpointError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_SEED = 8_000_000
DELAYS = (0.0, 100.0, 200.0, 400.0, 800.0)  # ms


@measurement(CheckpointError, PairedEpisodesError)
def delay(
    console: PlainConsole,
    episodes: Annotated[int, typer.Option(min=1, help="per task, mode and delay")] = 25,
    delays: Annotated[
        list[float] | None, typer.Option("--delay", min=0.0, max=60000.0, help="ms; repeat it; default: 0 to 800")
    ] = None,
    modes: Modes = None,
    disturb: Disturb = 0.0,
    *,
    source: Source,
    first_seed: FirstSeed = FIRST_SEED,
    workers: Workers = 1,
    ledger: LedgerFile = Path("out/bench/delay.jsonl"),
) -> Measured:
    """Success against a delay injected between the pictures and the chunk: sequential, fixed, adaptive and naive.

    Same seeds for every mode and delay, both tasks, virtual clock; computing takes no time beside the delay. Beyond the
    committed tail of 200 ms the arms brake and wait. An interrupted measurement goes on where it stopped.
    """
    seeds, wanted = range(first_seed, first_seed + episodes), sorted(set(delays or DELAYS))
    outcomes, names, made_with = played(console, source, seeds, TASKS, modes, wanted, disturb, workers, ledger)
    report = {
        "disturb": disturb,
        "delays": by_delay(outcomes, names),
        "model": source.model,
        "made_with": made_with,
    }
    return Measured(report, [success_and_idle(report)], lambda: draw_delay(report))


def by_delay(outcomes: Mapping[Job, Outcome], modes: list[str]) -> dict[str, Any]:
    """`compare` for each delay, keyed by its milliseconds in ascending order."""
    found = {}
    for value in sorted({job.delay_ms for job in outcomes}):
        found[f"{value:g}"] = compare({job: out for job, out in outcomes.items() if job.delay_ms == value}, modes)
    return found


def by_mode(report: dict[str, Any], cell: Callable[[dict[str, Any]], str]) -> Rows:
    """Both tasks together: one row per mode, one column per delay."""
    columns = {value: found["all"]["modes"] for value, found in report["delays"].items()}
    modes = next(iter(columns.values()))
    rows = [[mode, *(cell(column[mode]) for column in columns.values())] for mode in modes]
    return Rows(["mode", *(f"{value} ms" for value in columns)], rows)


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Success of both tasks together."""
    return [by_mode(report, lambda found: f"{found['successes']} / {found['episodes']}")]


def success_and_idle(report: dict[str, Any]) -> Table:
    """For a terminal."""
    title = "success (idle time) by delay between pictures and chunk"
    cell = "{0[successes]} / {0[episodes]} ({1})"
    return by_mode(report, lambda found: cell.format(found, text(found["idle_fraction"], "{:.0%}"))).table(title)


def draw_delay(report: dict[str, Any]) -> Figure:
    """Success with Wilson intervals, idle time and time to success against delay."""
    figure, axes = panels(3, 13, 3.4, width_ratios=(2, 1, 1))
    delays = np.array([float(value) for value in report["delays"]])
    columns = [found["all"]["modes"] for found in report["delays"].values()]
    shown = (
        ("success_rate", "success [%]", 100),
        ("idle_fraction", "idle [%]", 100),
        ("seconds_to_success", "time to success [s]", 1),
    )
    for index, mode in enumerate(columns[0]):
        colour = COLOURS.get(mode, OTHER)
        for panel, (name, title, scale) in zip(axes, shown, strict=True):
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
