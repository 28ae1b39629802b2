"""A progress bar, or lines where nobody watches a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from clwm_common.terminal.console import PlainConsole, description_column


@contextmanager
def progress(console: PlainConsole, what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Of `total` steps of `what`. Yields advance(by, what was just done)."""
    columns = (description_column(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(what, total=total)
        done = 0

        def advance(by: int, text: str) -> None:
            nonlocal done
            done += by
            bars.update(bar, advance=by, description=f"{what}: {text}" if text else what)
            if not console.is_terminal:
                console.print(f"{what} {done}/{total} {text}", highlight=False, soft_wrap=True)

        yield advance
