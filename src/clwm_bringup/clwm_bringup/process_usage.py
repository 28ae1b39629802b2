"""Memory and processor time of a process, from the kernel's own counters. Linux only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """resident: bytes of memory in use now; processor: s of processor time since the process began."""

    resident: int
    processor: float


def usage(process_id: int) -> Usage | None:
    """What a process uses; None when there is no such process any more."""
    folder = Path(f"/proc/{process_id}")
    try:
        resident = int((folder / "statm").read_text().split()[1]) * _PAGE
        # The name, in parentheses, may contain anything; 11 and 12 after it are user and system time.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Usage(resident, (int(fields[11]) + int(fields[12])) / _TICKS)
