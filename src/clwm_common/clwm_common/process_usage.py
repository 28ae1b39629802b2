"""Memory and processor time of a process."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import psutil

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_KEPT, _LARGEST = 64 << 20, 32 << 20  # bytes


@dataclass(frozen=True)
class Usage:
    """Bytes of memory in use now, and s of processor time since the process began.

    resident: all that is in memory, with libraries and DDS segments that other processes use as well; share: the same,
    what several processes use divided among them.
    """

    resident: int
    share: int
    processor: float


def usage(process_id: int) -> Usage | None:
    """What a process uses; None when there is no such process any more."""
    try:
        process = psutil.Process(process_id)
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, and not waited for yet
            return None
        memory, times = process.memory_full_info(), process.cpu_times()
    except psutil.NoSuchProcess:
        return None
    return Usage(memory.rss, memory.pss, times.user + times.system)


def keep_freed_memory() -> None:
    """Let up to 64 MB that this process frees stay with it, in blocks of up to 32 MB. Does nothing without glibc.

    Otherwise a raw picture's memory may go back to the system each time, by what else lies in the heap, and is asked
    for again page by page: a fifth of the time of a process that looks at pictures and does little with them.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _KEPT)
