"""Numbers of a demo: per task for the table, and all of it for report.json."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from clwm_operator.recording import STAGES, Chunk, Episode, Recording


def summarise(recording: Recording, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Counts and percentiles over these episodes; ms where the name says so, None for what was not measured."""
    chunks = recording.chunks_of(episodes)
    executed = [chunk for chunk in chunks if chunk.was_executed]
    split = {name: percentiles(1e3 * chunk.stages[name] for chunk in executed if chunk.stages) for name in STAGES}
    split["transport"] = percentiles(
        1e3 * (chunk.blocking - sum(chunk.stages.values()))
        for chunk in executed
        if chunk.stages and chunk.blocking is not None
    )
    moving, idle = 0.0, 0.0
    for episode in episodes:
        span, without = idle_time(recording.chunks_of([episode]), episode.ended_at)
        moving, idle = moving + span, idle + without
    return {
        "episodes": len(episodes),
        "successes": sum(episode.succeeded for episode in episodes),
        "chunks": len(executed),
        "blocking_ms": percentiles(1e3 * chunk.blocking for chunk in executed if chunk.blocking is not None),
        "blocking_split_ms": split,
        "idle_fraction": idle / moving if moving > 0.0 else None,
        "stalls": sum(chunk.stall > 0.0 for chunk in executed),
        "surrogate_error": _median(chunk.surrogate_error for chunk in executed),
        "copy_error": _median(chunk.copy_error for chunk in executed),
        "not_executed": {
            outcome: sum(chunk.outcome == outcome for chunk in chunks)
            for outcome in sorted({chunk.outcome for chunk in chunks} - {"executed"})
        },
    }


EXECUTOR_METRICS = (
    "tick_lateness_ms",
    "joint_state_gap_ms",
    "event_reaction_ms",
    "teleop_reaction_ms",
    "seam_jump",
    "inner_jump",
    "seam_acceleration_jump",
    "inner_acceleration_jump",
)


def executor_metrics(recording: Recording) -> dict[str, Any]:
    """How punctual the executor was, how soon it answers events, how smooth its seams are; over all episodes.

    Percentiles each, jumps in rad/s and rad/s^2. seam_ratio: median jump of velocity at seams against that within
    chunks; None when nothing moved. Empty when the executor told nothing.
    """
    told = {name: recording.executor[name] for name in EXECUTOR_METRICS if name in recording.executor}
    if told:
        seam, inner = (told.get(name, {}).get("p50") for name in ("seam_jump", "inner_jump"))
        told["seam_ratio"] = seam / inner if seam is not None and inner else None
    return told


def idle_time(chunks: Sequence[Chunk], until: float) -> tuple[float, float]:
    """(span, idle) in s: from the first motion to `until`, and the part of it in which no row of a chunk ran."""
    rows = sorted(
        (chunk.first_motion_at, min(chunk.rows_end_at, until))
        for chunk in chunks
        if chunk.was_executed and chunk.first_motion_at is not None and chunk.rows_end_at is not None
    )
    if not rows or rows[0][0] >= until:
        return 0.0, 0.0
    idle, busy_until = 0.0, rows[0][0]
    for start, end in rows:
        idle += max(0.0, start - busy_until)
        busy_until = max(busy_until, end)
    return until - rows[0][0], idle + max(0.0, until - busy_until)


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """p50, p95 and max of finite values; None each when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return dict.fromkeys(("p50", "p95", "max"))
    p50, p95 = np.percentile(finite, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "max": float(max(finite))}


def as_table(recording: Recording) -> Table:
    """One column per task, and one for all."""
    tasks = list(dict.fromkeys(episode.task for episode in recording.episodes))
    columns = [_cells(summarise(recording, [e for e in recording.episodes if e.task == task])) for task in tasks]
    columns.append(_cells(summarise(recording, recording.episodes)))
    table = Table(title="clwm demo", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in (*tasks, "all"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    table.caption = "blocking: capture of the observation to the first command, p50 / p95 in ms"
    return table


def _cells(summary: dict[str, Any]) -> dict[str, str]:
    idle, error, copying = summary["idle_fraction"], summary["surrogate_error"], summary["copy_error"]
    return {
        "success": f"{summary['successes']} of {summary['episodes']}",
        "chunks executed": str(summary["chunks"]),
        "blocking": _pair(summary["blocking_ms"]),
        **{f"  {stage}": _pair(split) for stage, split in summary["blocking_split_ms"].items()},
        "idle": "-" if idle is None else f"{100 * idle:.1f} %",
        "stalls": str(summary["stalls"]),
        "surrogate error (copying)": "-" if error is None or copying is None else f"{error:.3f} ({copying:.3f})",
    }


def _pair(values: dict[str, float | None]) -> str:
    return "-" if values["p50"] is None else f"{values['p50']:.0f} / {values['p95']:.0f}"


def _median(values: Iterable[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.median(finite)) if finite else None
