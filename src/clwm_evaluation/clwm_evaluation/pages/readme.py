"""What README.md says in figures: the table at its top, and what the shipped policy does and does not do."""

from __future__ import annotations

import textwrap
from typing import Any

from clwm_evaluation.report import Rows

HEADLINE = ("<!-- headline: written by clwm results -->", "<!-- end of headline -->")
SHIPPED_POLICY = ("<!-- shipped policy: written by clwm results -->", "<!-- end of shipped policy -->")
MODES = ("sequential", "fixed:0.5", "adaptive", "naive")


def headline(reports: dict[str, dict[str, Any]]) -> Rows:
    """One row per re-entry mode; a dash where a report does not have the mode."""
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
    return Rows(header, made)


def _milliseconds(percentiles: dict[str, float]) -> str:
    return " / ".join(f"{percentiles[name]:.0f}" for name in ("p50", "p95")) + " ms"


def sentences(report: dict[str, Any]) -> list[str]:
    """A list in Markdown: instruction, looks, masses and memory, each with its control."""
    found = report["by_condition"]

    def count(condition: str) -> str:
        return f"{found[condition]['successes']} of {found[condition]['episodes']}"

    def as_often(condition: str) -> bool:
        """Whether the visible task is done nearly as often as without a change: the intervals meet."""
        return found[condition]["wilson95"][1] >= found["none"]["wilson95"][0]

    deaf = as_often("other-task") or as_often("keep-still")
    listens = "It does **not yet listen to its instruction**" if deaf else "It listens to its instruction"
    told = found["keep-still"]["meaning"]
    no_use = as_often("no-memory")
    memory = "Its memory changes nothing in these two tasks" if no_use else "It needs its memory"
    texts = [
        f"Of {found['none']['episodes']} unseen episodes it does the task that it sees in {count('none')}. "
        "On the same seeds, one thing changed at a time:",
        "",
        f"- {listens}: {found['other-task']['meaning']}, it does the visible task in {count('other-task')}; {told}, in "
        f"{count('keep-still')}.",
        f"- Its looks are those of its training: {found['training-looks']['meaning']}, {count('training-looks')}; "
        f"{found['strong-looks']['meaning']}, {count('strong-looks')}; {found['cameras-off']['meaning']}, "
        f"{count('cameras-off')}; {found['random-colours']['meaning']}, {count('random-colours')}.",
        f"- {found['heavy']['meaning'].capitalize()}: {count('heavy')}.",
        f"- {memory}: emptied before every chunk, {count('no-memory')}.",
    ]
    return [line for text in texts for line in textwrap.wrap(text, 120, subsequent_indent="  ") or [""]]


def inserted(readme: str, lines: list[str], marks: tuple[str, str]) -> str:
    """README with `lines` between two marks. Raises ValueError when the marks are not there, once each and in order."""
    begin, end = marks
    before, mark, rest = readme.partition(begin)
    _, found, after = rest.partition(end)
    if not mark or not found:
        raise ValueError(f"README.md lacks the lines '{begin}' and '{end}'; put them where the text belongs")
    return "\n".join([before + begin, "", *lines, "", end + after])
