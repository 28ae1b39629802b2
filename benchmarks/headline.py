"""The table at the top of README.md, from the reports of surprise, latency and success."""

from __future__ import annotations

from typing import Any

BEGIN = "<!-- headline: written by benchmarks/summarise.py -->"
END = "<!-- end of headline -->"
MODES = ("sequential", "fixed:0.5", "adaptive", "naive")


def rows(reports: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and one row per re-entry mode; a dash where a report does not have the mode."""
    surprise, latency, success = (reports.get(f"{name}.json") for name in ("surprise", "latency", "success"))
    header = [
        "re-entry",
        "of the change that a surprise asks for, made by the next chunk",
        "within 5 mm of the sequential chunk, undisturbed",
        "evaluations after the observation",
        "blocking at chunk boundaries, p50 / p95",
        "of it in the engine, p50",
        "success",
    ]
    made = []
    for mode in MODES:
        found = surprise["modes"][mode]
        calm = found["undisturbed"]
        timed = (latency or {}).get("modes", {}).get(mode)
        done = (success or {}).get("by_task", {}).get("all", {}).get("modes", {}).get(mode)
        made.append(
            [
                f"`{mode}`",
                f"{100 * found['share_made']['median']:.0f} %",
                f"{100 * calm['within_bound']:.0f} %",
                f"{calm['nfe_blocking']['p50']:.0f}",
                "-" if timed is None else _milliseconds(timed["boundary_blocking_ms"]),
                "-" if timed is None else f"{timed['engine_ms']['p50']:.0f} ms",
                "-" if done is None else f"{done['successes']} / {done['episodes']}",
            ]
        )
    return header, made


def _milliseconds(percentiles: dict[str, float]) -> str:
    return " / ".join(f"{percentiles[name]:.0f}" for name in ("p50", "p95")) + " ms"


def inserted(readme: str, lines: list[str], begin: str = BEGIN, end: str = END) -> str:
    """README with `lines` between two marks. Raises ValueError when the marks are not there, once each and in order."""
    before, mark, rest = readme.partition(begin)
    _, found, after = rest.partition(end)
    if not mark or not found:
        raise ValueError(f"README.md lacks the lines '{begin}' and '{end}'; put them where the text belongs")
    return "\n".join([before + begin, "", *lines, "", end + after])
