"""Rows of docs/results.md from the reports about the executor: chaos, fuzzer, soak, seam, its own cost."""

from __future__ import annotations

from typing import Any

Table = tuple[list[str], list[list[str]]]
SEAM_WAYS = {
    "spliced": "spliced, as sent",
    "prefix": "joined to the committed rows",
    "no_prefix": "the same, made without a prefix",
    "cut_over": "cut over at once",
}


def chaos(report: dict[str, Any]) -> Table:
    """Header and rows: one per fault."""
    header = ["fault", "documented outcome", "as documented", "standstill s, at most", "travel rad, at most"]
    rows = []
    for fault in report["faults"]:
        worst = [
            "-" if fault[name] is None else f"{fault[name]:.3f}" for name in ("standstill_s_max", "travel_rad_max")
        ]
        share = f"{fault['acceleration_share_max']:.2f}"
        done = f"{fault['ended_as_documented']} / {fault['injections']}"
        rows.append([fault["fault"], fault["documented_outcome"], done, *worst, share])
    return [*header, "acceleration / limit, at most"], rows


def fuzzer(report: dict[str, Any]) -> Table:
    """Header and one row."""
    header = [
        "chunks",
        "violations",
        "dead-locks",
        "rows of a stale epoch",
        "virtual hours",
        "ms of processor time a chunk",
    ]
    numbers = [report[name] for name in ("chunks", "violations", "deadlocks", "stale_epoch_rows")]
    times = [f"{report['virtual_hours']:.0f}", f"{report['cpu_ms_per_chunk']:.1f}"]
    return header, [[*(f"{number:,}" for number in numbers), *times]]


def soak(report: dict[str, Any]) -> Table:
    """Header and one row."""
    header = [
        "minutes",
        "episodes, successful",
        "stalls / boundaries",
        "growth MB",
        "resident MB, at most",
        "of one core",
    ]
    row = [
        f"{report['seconds'] / 60.0:.0f}",
        f"{report['episodes']}, {report['successes']}",
        f"{report['stalls']} / {report['boundaries']}",
        f"{report['resident_growth_mb']:.2f}",
        f"{report['resident_mb_max']:.0f}",
        f"{100 * report['cpu_share']:.1f} %",
    ]
    missed = f"{report['joint_state_gaps']}, {report['misses_without_diagnostic']}"
    held = str(report["holds"])
    return [*header, "joint states missed, without a diagnostic", "held by a refused chunk"], [[*row, missed, held]]


def seam(report: dict[str, Any]) -> Table:
    """Header and rows: every way of following on, by task."""
    header = ["task", "", "seams", "velocity jump at the seam rad/s", "within the chunk", "ratio", "above the limit"]
    rows = []
    for task, found in (*report["tasks"].items(), ("all", report["all"])):
        for name, title in SEAM_WAYS.items():
            if (way := found.get(name)) is None:
                continue
            jumps = f"{way['seam_jump']['p50']:.3f}", f"{way['inner_jump']['p50']:.3f}"
            rows.append([task, title, str(found["seams"]), *jumps, f"{way['ratio']:.2f}", str(way["above_limit"])])
    return header, rows


def executor(report: dict[str, Any]) -> Table:
    """Header and one row."""
    header = ["of one core", "worst second", "resident MB", "of that its own", "joint states a second"]
    shares = [f"{100 * report[name]:.1f} %" for name in ("processor_share", "processor_share_worst_second")]
    sizes = [f"{report[name]:.0f}" for name in ("resident_mb", "resident_own_mb", "joint_states_per_second")]
    return header, [[*shares, *sizes]]


def overhead(report: dict[str, Any]) -> Table:
    """Header and rows: one per re-entry mode."""
    header = ["mode", "model calls", "whole chunk ms", "its calls alone ms", "ratio"]
    rows = [
        [mode, f"{row['calls']:.0f}", f"{row['chunk_ms']:.1f}", f"{row['bare_ms']:.1f}", f"{row['ratio']:.3f}"]
        for mode, row in report["modes"].items()
    ]
    return header, rows


TITLES = {
    "chaos": "Faults on the real stack (`clwm chaos --all`)",
    "fuzzer": "The executor under a virtual clock (`clwm chaos --virtual`)",
    "soak": "Continuous operation in real time (`clwm soak`)",
    "seam": "Velocity jumps where chunks follow one another (`clwm bench seam`)",
    "executor": "The executor's process (`clwm bench executor`)",
    "overhead": "The engine around the model's calls (`clwm bench overhead`)",
}
TABLES = {
    "chaos": chaos,
    "fuzzer": fuzzer,
    "soak": soak,
    "seam": seam,
    "executor": executor,
    "overhead": overhead,
}
# Reports of `clwm chaos` and `clwm soak` are told by what only they have.
KNOWN_BY = {"faults": "chaos", "stale_epoch_rows": "fuzzer", "misses_without_diagnostic": "soak"}


def kind_of(report: dict[str, Any]) -> str | None:
    """What a report is of; None for one without a table."""
    return report.get("measurement") or next((kind for key, kind in KNOWN_BY.items() if key in report), None)
