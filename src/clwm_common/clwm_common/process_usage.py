"""Memory and processor time of a process, from the kernel's own counters. Linux only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LINE = re.compile(r"^(Rss|Pss):\s+(\d+) kB$", re.MULTILINE)


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
    folder = Path(f"/proc/{process_id}")
    try:
        memory = dict(_LINE.findall((folder / "smaps_rollup").read_text()))
        # The name, in parentheses, may contain anything; 11 and 12 after it are user and system time.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    processor = (int(fields[11]) + int(fields[12])) / _TICKS
    return Usage(1024 * int(memory["Rss"]), 1024 * int(memory["Pss"]), processor)
