"""A terminal that shows texts as they are: users, files and ROS may use brackets, which rich takes for markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from rich.status import Status
from rich.text import Text


class PlainConsole(Console):
    """rich's console without markup and emoji codes. Colours come by styles, or by `Text` of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(markup=False, emoji=False, **kwargs)

    def marked(self, mark: str, style: str, text: object) -> None:
        """One line that begins with a mark in a style of its own."""
        self.print(Text.assemble((mark, style), " ", str(text)), highlight=False, soft_wrap=True)

    def error(self, text: object) -> None:
        """One line about why there is no result."""
        self.marked("error:", "red", text)

    def status(self, status: Any, **kwargs: Any) -> Status:
        return super().status(Text(status) if isinstance(status, str) else status, **kwargs)


def description_column() -> TextColumn:
    """Of a progress bar: its task's description, as it is."""
    return TextColumn("{task.description}", markup=False)
