"""Lines of the nodes' logs, for a terminal: the node's name in its colour, the level when it matters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.text import Text

_ROS_LINE = re.compile(r"^\[(DEBUG|INFO|WARN|ERROR|FATAL)\] \[[\d.]+\] \[([^\]]+)\]: (.*)$")
_COLOURS = {"sim": "cyan", "perception": "magenta", "policy": "green", "executor": "blue", "clwm": "bold white"}
_LEVEL_STYLES = {"DEBUG": "dim", "INFO": "", "WARN": "yellow", "ERROR": "red", "FATAL": "bold red"}


@dataclass(frozen=True)
class LogLine:
    """level: of rclpy's log, empty for other output of a process."""

    name: str
    level: str
    text: str

    @property
    def matters(self) -> bool:
        """Whether it is worth interrupting a quiet screen: warnings, errors, and what the supervisor says."""
        return self.level in ("WARN", "ERROR", "FATAL") or self.name == "clwm"

    def styled(self) -> Text:
        level = f"{self.level.lower()}: " if self.level in ("WARN", "ERROR", "FATAL") else ""
        return Text.assemble(
            (f"{self.name:>10} ", _COLOURS.get(self.name, "white")),
            (level + self.text, _LEVEL_STYLES.get(self.level, "dim")),
        )


def parse(name: str, text: str) -> LogLine:
    """The parts of one output line of node `name`."""
    match = _ROS_LINE.match(text)
    if match is None:
        return LogLine(name, "INFO" if name == "clwm" else "", text)
    level, _, message = match.groups()
    return LogLine(name, level, message)


class LogFiles:
    """One file per node in `folder`; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> LogFiles:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, name: str, text: str) -> None:
        """Append a line of the node `name`."""
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.log").open("w", buffering=1)
        self._files[name].write(text + "\n")
