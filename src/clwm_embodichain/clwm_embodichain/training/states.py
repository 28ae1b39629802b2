"""States of a training on disk: the last three and the best, each whole or not there."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

KEPT = 3
_UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, UnpicklingError, zipfile.BadZipFile)


class StateError(RuntimeError):
    """A state that cannot be written or read; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Resumed:
    """path: what was read, None when there was nothing to read. skipped: newer ones that could not, and why."""

    path: Path | None
    skipped: tuple[str, ...] = ()


class TrainingStates:
    """`<stem>-<step>.pt` in `folder`, and `<stem>-best.pt`."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._stem = folder, stem

    @property
    def best(self) -> Path:
        return self._folder / f"{self._stem}-best.pt"

    def save(self, step: int, state: Mapping[str, Any], *, is_best: bool = False) -> Path:
        """Write one, and drop those that are too old. Raises StateError, writing nothing, for weights not finite."""
        path = self._folder / f"{self._stem}-{step:08d}.pt"
        write_state(path, state)
        if is_best:
            self.mark_best(path)
        for old in self._newest_first()[KEPT:]:
            old.unlink()
        return path

    def mark_best(self, path: Path) -> None:
        """Keep `path` as the best one, however many follow."""
        link = self.best.with_suffix(".partial")
        link.unlink(missing_ok=True)
        os.link(path, link)
        link.replace(self.best)

    def resume(self, restore: Callable[[dict[str, Any]], None]) -> Resumed:
        """Give the newest readable one to `restore`; the best only when no other is readable.

        Raises StateError when there are some and none can be read.
        """
        skipped = []
        candidates = [*self._newest_first(), *([self.best] if self.best.exists() else [])]
        for path in candidates:
            try:
                state = read_state(path)
            except StateError as error:
                skipped.append(str(error))
                continue
            restore(state)
            return Resumed(path, tuple(skipped))
        if skipped:
            raise StateError(f"{'; '.join(skipped)}; move them away to begin anew")
        return Resumed(None)

    def _newest_first(self) -> list[Path]:
        """The numbered ones, and last `<stem>.pt`, as a training of an earlier release left it."""
        numbered = [path for path in self._folder.glob(f"{self._stem}-*.pt") if path.stem.rpartition("-")[2].isdigit()]
        numbered.sort(key=lambda path: int(path.stem.rpartition("-")[2]), reverse=True)
        old = self._folder / f"{self._stem}.pt"
        return [*numbered, *([old] if old.exists() else [])]


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and numbers to `path`; an end at any instant leaves what was there. Raises StateError."""
    if (name := _not_finite(state)) is not None:
        raise StateError(f"{path} was not written: '{name}' is not finite; go on from the state before it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote; nothing but tensors and numbers is unpickled. Raises StateError."""
    try:
        state = torch.load(path, weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise StateError(f"{path} cannot be read ({type(error).__name__}: {reason})") from None
    if not isinstance(state, dict):
        raise StateError(f"{path} holds {type(state).__name__}; expected the state of a training")
    if (name := _not_finite(state)) is not None:
        raise StateError(f"{path}: '{name}' is not finite")
    return state


def _not_finite(state: Mapping[str, Any]) -> str | None:
    """The first weight of the model or of its average that is not finite."""
    for part in ("model", "ema"):
        for name, tensor in (state.get(part) or {}).items():
            if torch.is_tensor(tensor) and not torch.isfinite(tensor).all():
                return f"{part}.{name}"
    return None
