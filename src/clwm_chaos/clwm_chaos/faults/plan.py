"""What `clwm chaos --all` has to do and what it has done: a plan from a seed, and a journal to go on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np


class JournalError(ValueError):
    """A journal that does not belong to this run; the message names the field and the remedy."""


@dataclass(frozen=True)
class Planned:
    """The `number`-th injection of a fault. seed: everything random about it follows from this."""

    fault: str
    number: int
    seed: int


def plan(faults: Sequence[str], repeat: int, seed: int) -> list[Planned]:
    """Every fault `repeat` times, in a random order: what one fault leaves behind meets every other one."""
    each = [
        Planned(fault, number, int(np.random.default_rng([seed, index, number]).integers(2**31)))
        for index, fault in enumerate(faults)
        for number in range(repeat)
    ]
    return [each[index] for index in np.random.default_rng(seed).permutation(len(each))]


class Finished(Protocol):
    """What a line of the journal says: at least which injection it was."""

    fault: str
    number: int

    def as_dict(self) -> dict[str, Any]:
        """For the journal."""


Line = TypeVar("Line", bound=Finished)


class Journal(Generic[Line]):
    """A line of JSON for the run, then one for every finished injection; an interrupted run goes on after the last."""

    def __init__(self, path: Path, run: dict[str, Any], read: Callable[[dict[str, Any]], Line]) -> None:
        """run: what must be the same for lines to belong together. read: from what its `as_dict` gave.

        Raises JournalError when the file is another's.
        """
        self._path, self._read_line = path, read
        self.done: list[Line] = []
        if path.exists() and path.stat().st_size:
            self._read(run)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run) + "\n")

    def append(self, injection: Line) -> None:
        self.done.append(injection)
        with self._path.open("a") as file:
            file.write(json.dumps(injection.as_dict()) + "\n")

    def left(self, planned: Sequence[Planned]) -> list[Planned]:
        """What of the plan is not in the journal yet."""
        done = {(injection.fault, injection.number) for injection in self.done}
        return [item for item in planned if (item.fault, item.number) not in done]

    def _read(self, run: dict[str, Any]) -> None:
        # A line that the end of a process cut short is not a finished injection.
        lines = [line for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        try:
            found = json.loads(lines[0]) if lines else {}
            self.done = [self._read_line(json.loads(line)) for line in lines[1:]]
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{self._path} is not a journal of clwm chaos: {error}; move it away") from None
        for name, value in run.items():
            if found.get(name) != value:
                raise JournalError(
                    f"{self._path} was begun with {name} {found.get(name)}, not {value}; "
                    "repeat that, or move the file away to begin anew"
                )
        self._path.write_text("".join(lines))


def saved_seed(path: Path) -> int | None:
    """The seed of an interrupted run's journal, so that it goes on without being told; None when there is none."""
    try:
        with path.open() as file:
            return int(json.loads(file.readline())["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
