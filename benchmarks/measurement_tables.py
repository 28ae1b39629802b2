"""Rows of docs/results.md from the reports of `clwm bench`."""

from __future__ import annotations

from typing import Any


def latency(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one per re-entry mode."""
    header = [
        "mode",
        "chunks",
        "blocking p50 / p95 / p99 ms",
        "p50 to sequential (95 %)",
        "at boundaries p50 / p95 / p99 ms",
        "engine alone p50 / p95 ms",
        "its p50 to sequential (95 %)",
        "stalls / boundaries",
        "idle",
    ]
    rows = []
    for mode, found in report["modes"].items():
        ratios = report["ratios"].get(mode, {})
        blocking, moving = (
            " / ".join(f"{found[key][name]:.0f}" for name in ("p50", "p95", "p99"))
            for key in ("blocking_ms", "boundary_blocking_ms")
        )
        engine = " / ".join(f"{found['engine_ms'][name]:.0f}" for name in ("p50", "p95"))
        latencies = [blocking, _ratio(ratios.get("blocking_p50")), moving, engine, _ratio(ratios.get("engine_p50"))]
        stalls = f"{found['stalls']} / {found['boundaries']}"
        rows.append([mode, str(found["chunks"]), *latencies, stalls, f"{100 * found['idle_fraction']:.1f} %"])
    return header, rows


def _ratio(found: dict[str, float] | None) -> str:
    return "" if found is None else f"{found['ratio']:.2f} ({found['low95']:.2f} to {found['high95']:.2f})"


def surprise(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one per mode."""
    header = ["mode", "share of the change made, median (p10)", "undisturbed: deviation p95 mm", "within the bound"]
    rows = []
    for mode, found in report["modes"].items():
        share, calm = found["share_made"], found["undisturbed"]
        made = f"{100 * share['median']:.0f} % ({100 * share['p10']:.0f} %)"
        deviation = f"{calm['deviation_mm']['p95']:.2f}"
        evaluations = f"{calm['nfe_blocking']['mean']:.1f} / {found['disturbed']['nfe_blocking']['mean']:.1f}"
        rows.append([mode, made, deviation, f"{100 * calm['within_bound']:.1f} %", evaluations])
    return [*header, "NFE blocking, undisturbed / disturbed"], rows


def speculation(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one per kind of chunk."""
    header = ["chunks", "stated deviation kept", "Wilson 95 %", "within the bound", "deviation median / p95 mm"]
    rows = []
    for kind in ("all", "undisturbed", "disturbed"):
        found = report["coverage"][kind]
        if found["trials"]:
            low, high = found["chosen"]["wilson95"]
            deviation = found["deviation_mm"]
            rows.append(
                [
                    f"{kind}, {found['trials']}",
                    f"{100 * found['chosen']['share']:.1f} %",
                    f"{100 * low:.1f} to {100 * high:.1f} %",
                    f"{100 * found['within_bound']['share']:.1f} %",
                    f"{deviation['median']:.2f} / {deviation['p95']:.2f}",
                ]
            )
    return header, rows


def success(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one per task and mode."""
    header = ["tasks", "mode", "success", "Wilson 95 %", "points to sequential (95 %)", "McNemar exact p"]
    rows = []
    for task, group in report["by_task"].items():
        for mode, found in group["modes"].items():
            low, high = (100 * value for value in found["wilson95"])
            apart, difference, p = group["differences"].get(mode), "", ""
            if apart is not None:
                below, above = (100 * value for value in apart["difference95"])
                difference = f"{100 * apart['difference']:+.1f} ({below:+.1f} to {above:+.1f})"
                p = f"{apart['mcnemar_exact_p']:.2g}"
            succeeded = f"{found['successes']} / {found['episodes']}"
            rows.append([task, mode, succeeded, f"{low:.1f} to {high:.1f} %", difference, p])
    return header, rows


def controls(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: how often the visible task was done, one row per condition."""
    rows = []
    for name, found in report["by_condition"].items():
        low, high = (100 * value for value in found["wilson95"])
        counts = [f"{each['successes']} / {each['episodes']}" for each in (found, *found["by_task"].values())]
        rows.append([f"`{name}`", found["meaning"], counts[0], f"{low:.0f} to {high:.0f} %", *counts[1:]])
    tasks = list(next(iter(report["by_condition"].values()))["by_task"])
    return ["condition", "what is changed", "visible task done", "Wilson 95 %", *tasks], rows


def delay(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: success of both tasks together, one row per mode."""
    columns = {value: found["all"]["modes"] for value, found in report["delays"].items()}
    modes = next(iter(columns.values()))
    rows = [
        [mode, *(f"{column[mode]['successes']} / {column[mode]['episodes']}" for column in columns.values())]
        for mode in modes
    ]
    return ["mode", *(f"{value} ms" for value in columns)], rows


def memory(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: right choices of remember_side, one row per memory and one column per delay."""
    table = report["remember_side"]
    delays = list(next(iter(table.values())))
    names = {"ttt": "TTT", "reset": "TTT, reset at every chunk", "kv": "KV cache"}
    rows = []
    for name, cells in table.items():
        texts = []
        for delay in delays:
            low, high = (100 * value for value in cells[delay]["wilson95"])
            texts.append(f"{cells[delay]['right']} / {cells[delay]['episodes']} ({low:.0f} to {high:.0f} %)")
        rows.append([names[name], *texts])
    return ["memory", *(f"{delay} chunks" for delay in delays)], rows


def memory_cost(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a chunk's processor time and the bytes held, one row per memory, one column per history."""
    names = {"ttt": "TTT", "kv": "KV cache", "window": "KV window"}
    steps = list(report["cost"]["ttt"])
    rows = [
        [names[name], *(f"{cells[n]['chunk_ms']:.0f} ms, {cells[n]['state_bytes'] / 2**20:.1f} MiB" for n in steps)]
        for name, cells in report["cost"].items()
    ]
    return ["memory", *(f"after {n} observations" for n in steps)], rows


def memory_long_run(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and one row: what an endless episode does to the TTT memory."""
    run = report["ttt"]
    header = ["updates", "growth of resident memory MiB", "time of a chunk, last 1,000 over first", "largest norm of W"]
    growth, slower = f"{run['resident_growth_mb']:.2f}", f"{run['latency_last_over_first']:.3f}"
    return header, [[f"{run['updates']:,}", growth, slower, f"{run['norm_max']:.1f}"]]


def streaming(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one per training."""
    header = ["training", "episodes", "walks through each", "unique observations a step", "held-out error mm"]
    header += ["success", "Wilson 95 %", "points to the first (95 %)", "McNemar exact p"]
    rows = []
    for found in report["contestants"]:
        low, high = (100 * value for value in found["wilson95"])
        gain, difference, p = report["against_first"].get(found["name"]), "", ""
        if gain is not None:
            below, above = (100 * value for value in gain["difference95"])
            difference = f"{100 * gain['difference']:+.1f} ({below:+.1f} to {above:+.1f})"
            p = f"{gain['mcnemar_exact_p']:.2g}"
        fresh = f"{found['observations'] / report['steps']:.2f}"
        data = [found["name"], str(found["episodes"]), f"{found['reuse']:.1f}", fresh]
        data.append(f"{found['validation']['eef_mm']:.1f}")
        succeeded = f"{sum(found['successes'].values())} / {found['trials']}"
        rows.append([*data, succeeded, f"{low:.1f} to {high:.1f} %", difference, p])
    return header, rows


def experts(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one per scene, goal and place of asking."""
    header = ["scene", "goal", "asked", "achieved", "Wilson 95 %", "time s", "processor s", "arms touched"]
    rows = []
    for found in report["table"]:
        low, high = (100 * value for value in found["wilson95"])
        achieved = f"{found['achieved']} / {found['trials']}"
        times = [_time(found["seconds"]), f"{found['processor_seconds']:.2f}", str(found["arms_touched"])]
        rows.append([found["scene"], found["goal"], found["asked"], achieved, f"{low:.1f} to {high:.1f} %", *times])
    return header, rows


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


TITLES = {
    "latency": "Blocking latency, modes side by side in real time (`clwm bench latency`)",
    "surprise": "An object moved by 3 cm while a chunk executes (`clwm bench surprise`)",
    "speculation": "Coverage of the stated deviation (`clwm bench speculation`)",
    "success": "Success on the same seeds (`clwm bench success`)",
    "controls": "The visible task done, with one thing changed at a time (`clwm bench controls`)",
    "delay": "Success against an injected delay (`clwm bench delay`)",
    "streaming": "Trainings of the same length, on recorded and on streamed episodes (`clwm bench streaming`)",
    "experts": "Scripted experts, asked at the start and in the middle of an episode (`clwm data check`)",
    "memory": "Right choices after a delay, chance 50 % (`clwm bench memory`)",
}
TABLES = {
    "latency": latency,
    "surprise": surprise,
    "speculation": speculation,
    "success": success,
    "controls": controls,
    "delay": delay,
    "streaming": streaming,
    "experts": experts,
    "memory": memory,
}
FURTHER = {"memory": (memory_cost, memory_long_run)}  # tables below the first one of a report
