"""Tables of docs/results.md about what no measurement of `clwm bench` makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clwm_evaluation.report import Rows, percent, text


def chaos(report: dict[str, Any]) -> list[Rows]:
    """One row per fault."""
    header = ["fault", "documented outcome", "as documented", "standstill s, at most", "travel rad, at most"]
    rows = []
    for fault in report["faults"]:
        worst = [text(fault[name], "{:.3f}") for name in ("standstill_s_max", "travel_rad_max")]
        share = f"{fault['acceleration_share_max']:.2f}"
        done = f"{fault['ended_as_documented']} / {fault['injections']}"
        rows.append([fault["fault"], fault["documented_outcome"], done, *worst, share])
    return [Rows([*header, "acceleration / limit, at most"], rows)]


def libfranka_faults(report: dict[str, Any]) -> list[Rows]:
    """One row per fault."""
    header = ["fault", "documented outcome", "as documented", "standstill s, at most", "travel rad, at most"]
    rows = [
        [
            row["fault"],
            row["documented_outcome"],
            f"{row['ended_as_documented']} / {row['injections']}",
            *(text(row[name], "{:.3f}") for name in ("standstill_s_max", "travel_rad_max")),
        ]
        for row in report["libfranka_faults"]
    ]
    return [Rows(header, rows)]


def fuzzer(report: dict[str, Any]) -> list[Rows]:
    """One row."""
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
    return [Rows(header, [[*(f"{number:,}" for number in numbers), *times]])]


def soak(report: dict[str, Any]) -> list[Rows]:
    """One row."""
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
    header += ["joint states missed, without a diagnostic", "held by a refused chunk"]
    row += [missed, held]
    if "operator_cpu_share" in report:
        header += ["console, recorder, of one core", "recordings, messages lost"]
        shares = [f"{100 * report[f'{name}_cpu_share']:.1f} %" for name in ("console", "recorder")]
        row += [", ".join(shares), f"{report['recordings']}, {report['recorded_messages_lost']}"]
    if "unwatched_console_cpu_share" in report:
        header += ["console without a viewer", "pictures", "load average"]
        row += [f"{100 * report['unwatched_console_cpu_share']:.1f} %", report["pictures"]]
        row += [f"{report['load_average']:.1f}"]
    return [Rows(header, [row])]


def console_hold(report: dict[str, Any]) -> list[Rows]:
    """One row for HOLD pressed, one for not."""
    header = ["HOLD", "tries", "arms move on for s, p50", "p95", "at most", f"at rest within {report['prompt_s']} s"]
    rows = []
    for name in ("pressed", "not_pressed"):
        found = report[name]
        times = [f"{found[key]:.3f}" for key in ("p50_s", "p95_s", "max_s")]
        rows.append([name.replace("_", " "), str(found["tries"]), *times, f"{found['prompt']} / {found['tries']}"])
    return [Rows([*header, "load average"], [[*row, f"{report['load_average']:.1f}"] for row in rows])]


def experts(report: dict[str, Any]) -> list[Rows]:
    """One row per scene, goal and expansion."""
    header = ["scene", "goal", "expansion", "achieved", "Wilson 95 %", "of those midway", "tried anew", "time s"]
    header += ["processor s", "arms touched", "pursuing another goal"]
    rows = []
    for found in report["table"]:
        row = [found["scene"], found["goal"], found["expansion"]]
        row += [_part(found, "achieved", "trials"), percent(found["wilson95"], 1)]
        row += [_part(found, "midway_achieved", "midway"), _part(found, "tried_anew_achieved", "tried_anew")]
        row += [text(found["seconds"], "{:.1f}"), f"{found['processor_seconds']:.2f}", str(found["arms_touched"])]
        rows.append([*row, _part(found, "controls_achieved", "controls")])
    return [Rows(header, rows)]


def reachability(report: dict[str, Any]) -> list[Rows]:
    """One row per goal whose hands take something."""
    header = ["scene", "goal", "bins", "as many filled evenly, without", "with", "fullest bin, without", "with"]
    rows = []
    for found in report["goals"]:
        off, on = found["off"], found["on"]
        row = [found["scene"], found["goal"], str(found["bins"]), f"{off['even']:.1f}", f"{on['even']:.1f}"]
        rows.append([*row, _share(off["fullest"]), _share(on["fullest"]), f"{found['ms']:.1f}"])
    return [Rows([*header, "ms a state"], rows)]


def _part(found: dict[str, Any], part: str, whole: str) -> str:
    return f"{found[part]} / {found[whole]}"


def evaluations(reports: Iterable[tuple[str, dict[str, Any]]]) -> Rows:
    """One row per `clwm eval` report, sorted by task, control and re-entry policy."""
    header = ["task", "control", "SAI", "latency", "success", "Wilson 95 %", "blocking p50 / p95 / p99 ms"]
    header += ["idle", "stalls / chunks", "surrogate / copying error", "file"]
    rows = []
    for name, report in sorted(reports, key=lambda item: (item[1]["task"], item[1]["control"], item[1]["sai"])):
        rows.append(
            [
                report["task"],
                report["control"],
                report["sai"] if report["control"] in ("policy", "noise") else "",
                str(report["latency"]),
                f"{report['successes']} / {report['episodes']}",
                percent(report["wilson95"], 0),
                _milliseconds(report["blocking_ms"]),
                _share(report["idle_fraction"]),
                f"{report['stalls']} / {report['chunks']}",
                _pair(report["surrogate_error"], report["copy_error"]),
                link(name),
            ]
        )
    return Rows(header, rows)


def demos(reports: Iterable[tuple[str, dict[str, Any]]]) -> Rows:
    """One row per `report.json` of a demo, over all its episodes."""
    header = [
        "SAI",
        "success",
        "blocking p50 / p95 ms",
        "idle",
        "stalls / chunks",
        "surrogate / copying error",
        "file",
    ]
    rows = []
    for name, report in reports:
        whole = report["all"]
        rows.append(
            [
                report["sai"],
                f"{whole['successes']} / {whole['episodes']}",
                " / ".join(f"{whole['blocking_ms'][key]:.0f}" for key in ("p50", "p95")),
                _share(whole["idle_fraction"]),
                f"{whole['stalls']} / {whole['chunks']}",
                _pair(whole["surrogate_error"], whole["copy_error"]),
                link(name),
            ]
        )
    return Rows(header, rows)


def encoder_probe(probe: dict[str, Any]) -> Rows:
    """One row per object of each scene, and one for how far two looks of a state are apart."""
    names = ("encoder", "shipped", "untrained", "mean", "pixels", "pixels_and_bases")
    rows = []
    for scene, kinds in probe["errors"]["encoder"].items():
        for kind in kinds:
            found = (probe["errors"][name][scene][kind] for name in names)
            rows.append(
                [f"{scene}: {kind}", *(" / ".join(f"{value:.1f}" for value in each.values()) for each in found)]
            )
    apart = (probe["looks_apart"].get(name, {}).get("all") for name in names)
    rows.append(["looks apart", *("" if value is None else f"{value:.2f}" for value in apart)])
    gate = probe["gate"]
    rows.append(["gate", f"{gate['mm']:.0f} / {gate['deg']:.0f}; {gate['looks_apart']:.2f}", *[""] * (len(names) - 1)])
    header = ["median error, mm / degrees", "encoder", "shipped one", "untrained", "predicting the mean"]
    return Rows([*header, "exact pixels of the things", "and of the arms' bases"], rows)


def encoder_families(report: dict[str, Any]) -> Rows:
    """A row for each training: its length, last loss and held-out errors."""
    errors = ("block_mm", "pad_mm", "bar_mm", "lever_mm", "tray_mm", "pot_mm", "looks_apart")
    rows = [
        [
            f"{name}, rate {each['config']['learning_rate']:g}",
            f"{each['minutes']:.1f}",
            str(each["steps"]),
            f"{each['losses']['total']:.2f}",
            *(f"{each['held_out'][error]:.3g}" for error in errors),
        ]
        for name, each in report["runs"].items()
    ]
    return Rows(["training", "processor minutes", "steps", "loss", *errors], rows)


def link(name: str) -> str:
    """To a result file, from docs/."""
    return f"[{name}](../benchmarks/results/{name})"


def _milliseconds(blocking: dict[str, float | None]) -> str:
    values = [blocking[name] for name in ("p50", "p95", "p99")]
    return "" if None in values else " / ".join(f"{value:.0f}" for value in values)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _pair(first: float | None, second: float | None) -> str:
    return "" if first is None or second is None else f"{first:.3f} / {second:.3f}"
