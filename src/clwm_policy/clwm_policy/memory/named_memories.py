"""Memories that operators have saved, each a file of its name in one folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from clwm_common.messages import ChunkRequest
from clwm_policy.errors import BadSnapshot
from clwm_policy.memory.long_term import LongTermMemory

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SHOWN = 64  # names, the newest first
_SUFFIX = ".memory"


class MemoryOwner(Protocol):
    """The engine, as far as its memory goes."""

    @property
    def pending(self) -> ChunkRequest | None: ...

    @property
    def memory(self) -> LongTermMemory: ...

    def save_memory(self, path: Path) -> str: ...

    def restore_memory(self, path: Path) -> None: ...


class NamedMemories:
    """Of one engine; call it on the engine's thread."""

    def __init__(self, folder: Path, engine: MemoryOwner) -> None:
        self._folder, self._engine = folder, engine

    def names(self) -> list[str]:
        """What can be restored, the newest first. May be called from another thread."""
        files = [it for it in self._folder.glob(f"*{_SUFFIX}") if NAME.fullmatch(it.stem)]
        return [it.stem for it in sorted(files, key=lambda it: -it.stat().st_mtime_ns)][:SHOWN]

    def save(self, name: str) -> str:
        """Keep the present memory, in place of an older one of this name; returns what it is in words.

        Raises BadSnapshot for a name that is none, and when it cannot be written.
        """
        path = self._path(name)
        try:
            self._engine.save_memory(path)
        except OSError as error:
            raise BadSnapshot(f"{path} cannot be written ({error.strerror}); make room, or mend its folder") from None
        return f"memory '{name}' saved: {self._present()}"

    def restore(self, name: str) -> str:
        """Make the memory of this name the present one; returns what it is in words.

        Raises BadSnapshot while a chunk is made of the present one, and for a memory that is missing or does not fit.
        """
        path = self._path(name)
        if self._engine.pending is not None:
            raise BadSnapshot("the policy makes a chunk by its present memory; HOLD the arms first, then restore")
        if not path.exists():
            raise BadSnapshot(f"no memory '{name}' was saved; there are: {', '.join(self.names()) or 'none'}")
        self._engine.restore_memory(path)
        return f"memory '{name}' restored: {self._present()}"

    def _present(self) -> str:
        memory = self._engine.memory
        return f"{memory.observations} real observations taken in, hash {memory.digest()[:16]}"

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise BadSnapshot(
                f"'{name[:60]}' cannot name a memory; give 1 to 40 small letters, digits, - and _, such as 'monday-2'"
            )
        return self._folder / f"{name}{_SUFFIX}"
