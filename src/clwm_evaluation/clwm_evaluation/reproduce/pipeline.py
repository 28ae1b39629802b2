"""Steps that build on one another: which are done, which have to be run, and how long that will take. Runs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["done", "to do", "begun", "again"]


class PipelineError(RuntimeError):
    """A step that cannot be run, or a record that cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Step:
    """One command. what: in a few words. inputs: files and folders that it reads, and outputs that it leaves.

    minutes: that it takes on two cores of a common processor. beside: a command that runs as long as it does; awaits:
    a folder, and the number of files that that command has to have left there before this one begins.
    """

    name: str
    what: str
    command: tuple[str, ...]
    outputs: tuple[Path, ...]
    minutes: float
    inputs: tuple[Path, ...] = ()
    beside: tuple[str, ...] = ()
    awaits: tuple[Path, int] | None = None

    def digest(self) -> str:
        """Of the command and of all that it reads as it is now."""
        whole = hashlib.sha256(json.dumps([self.command, self.beside]).encode())
        for path in self.inputs:
            whole.update(content_hash(path).encode())
        return whole.hexdigest()


@dataclass(frozen=True)
class Planned:
    """A step and how it stands: `done` with what it would read now; `begun` but not ended; to be run `again`, since
    something that it reads or has left is no more what it was.
    """

    step: Step
    state: State
    minutes: float

    @property
    def left(self) -> float:
        """Minutes still to go, as far as that is known."""
        return 0.0 if self.state == "done" else self.minutes


@dataclass(frozen=True)
class Done:
    """What is remembered of a step. outputs: their hash, empty until it has ended. seconds: for which it has run."""

    inputs: str
    outputs: str = ""
    seconds: float = 0.0


class Record:
    """The steps that were begun and ended, in a JSON file."""

    def __init__(self, path: Path) -> None:
        """Raises PipelineError for a file that is none."""
        self._path = path
        self._steps: dict[str, Done] = {}
        if path.exists():
            try:
                self._steps = {name: Done(**entry) for name, entry in json.loads(path.read_text()).items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise PipelineError(f"{path} cannot be read ({error}); delete it to run all steps again") from None

    def begin(self, step: Step) -> None:
        """Remember that it was begun with what it reads now."""
        before, inputs = self._steps.get(step.name), step.digest()
        goes_on = before is not None and before.inputs == inputs and not before.outputs
        self._write(step.name, before if goes_on else Done(inputs))

    def add(self, step: Step, seconds: float, is_ended: bool) -> None:
        """Remember that it ran for so long, and whether to its end. Raises PipelineError if that left no outputs."""
        if is_ended and (missing := [path for path in step.outputs if not path.exists()]):
            raise PipelineError(f"step '{step.name}' has ended and left no {missing[0]}; look at what it said")
        before = self._steps[step.name]
        outputs = _hash_of_all(step.outputs) if is_ended else ""
        self._write(step.name, Done(before.inputs, outputs, round(before.seconds + seconds, 1)))

    def plan(self, steps: Sequence[Step]) -> list[Planned]:
        """How each step stands. What follows one that is not done reads what that will have changed."""
        planned: list[Planned] = []
        changing: set[Path] = set()
        for step in steps:
            state = self._state(step, changing)
            minutes = step.minutes
            if (found := self._steps.get(step.name)) is not None:
                minutes = found.seconds / 60.0 if found.outputs else max(0.0, step.minutes - found.seconds / 60.0)
            planned.append(Planned(step, state, minutes if state != "again" else step.minutes))
            if state != "done":
                changing.update(step.outputs)
        return planned

    def _state(self, step: Step, changing: set[Path]) -> State:
        found = self._steps.get(step.name)
        if found is None:
            return "to do"
        if changing & set(step.inputs) or found.inputs != step.digest():
            return "again"
        if not found.outputs:
            return "begun"
        return "done" if found.outputs == _hash_of_all(step.outputs) else "again"

    def _write(self, name: str, entry: Done) -> None:
        self._steps[name] = entry
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({step: vars(done) for step, done in self._steps.items()}, indent=1))
        partial.replace(self._path)


def content_hash(path: Path) -> str:
    """Of a file, or of all files of a folder with their names; of what is not there, a hash of that."""
    if path.is_dir():
        files: Mapping[str, str] = {str(it.relative_to(path)): content_hash(it) for it in _files(path)}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"


def _files(folder: Path) -> list[Path]:
    return sorted(it for it in folder.rglob("*") if it.is_file() and it.suffix != ".partial")


def _hash_of_all(paths: Sequence[Path]) -> str:
    return hashlib.sha256("".join(content_hash(path) for path in paths).encode()).hexdigest()
