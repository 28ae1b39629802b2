"""Shared memory that is gone when its owner is, however that ended: what a killed one left is removed by the next."""

from __future__ import annotations

import fcntl
import os
import secrets
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

FOLDER = Path("/dev/shm")
PREFIX = "clwm_ring_"


class OwnedMemory:
    """`size` bytes under a name of their own, locked for as long as this process lives."""

    def __init__(self, size: int) -> None:
        """Raises OSError when there is no room."""
        remove_orphans()
        while True:
            self.memory = SharedMemory(f"{PREFIX}{secrets.token_hex(6)}", create=True, size=size)
            self._lock = _locked(FOLDER / self.memory.name, fcntl.LOCK_SH)
            if self._lock is not None or not FOLDER.exists():
                return
            self.memory.close()  # somebody took it for an orphan before it was locked

    def close(self) -> None:
        """Give it back. No array may lie over it any more."""
        self.memory.close()
        self.memory.unlink()
        if self._lock is not None:
            os.close(self._lock)


def remove_orphans() -> None:
    """Remove the memory of owners that are no more. A lock ends with its process, whatever namespace that is in."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        lock = _locked(path, fcntl.LOCK_EX)
        if lock is not None:
            path.unlink(missing_ok=True)
            os.close(lock)


def _locked(path: Path, kind: int) -> int | None:
    """An open file that holds the lock; None when another process does, or the file is gone."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(file).st_ino:
            return file
    except OSError:
        pass
    os.close(file)
    return None
