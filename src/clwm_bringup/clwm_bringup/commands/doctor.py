"""`clwm doctor`: one line per check, each failure with its remedy."""

from __future__ import annotations

from typing import Annotated

import typer

from clwm_bringup.checks.doctor import Outcome, Result, all_checks
from clwm_common.terminal.console import PlainConsole

_MARKS = {Outcome.OK: ("ok  ", "green"), Outcome.WARN: ("warn", "yellow"), Outcome.FAIL: ("FAIL", "red")}


def doctor(model: Annotated[str, typer.Option(help="name of a file in config/models")] = "nano") -> None:
    """Check the whole installation: interpreter, compiler, disk, ROS, messages, rendering, checkpoints, DDS.

    Ends with 1 when a check fails.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    failed = 0
    for check in all_checks(model):
        with console.status(check.title):
            result = check.run()
        failed += result.outcome is Outcome.FAIL
        print_result(console, check.title, result)
    if failed:
        console.print(f"{failed} checks failed")
        raise typer.Exit(1)
    console.print("all is well")


def print_result(console: PlainConsole, title: str, result: Result) -> None:
    """One line, and one more for the remedy."""
    console.marked(*_MARKS[result.outcome], f"{title:<22} {result.found}")
    if result.remedy:
        console.print(f"     {'':<22} -> {result.remedy}")
