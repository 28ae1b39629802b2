"""Memory and processor time of a process."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


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
