"""What the README says that the shipped policy does and does not do, from the report of `clwm bench controls`."""

from __future__ import annotations

import textwrap
from typing import Any

BEGIN = "<!-- shipped policy: written by benchmarks/summarise.py -->"
END = "<!-- end of shipped policy -->"


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
