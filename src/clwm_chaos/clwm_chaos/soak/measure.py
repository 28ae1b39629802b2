"""What a long run of the stack shows: stalls, memory, processor time, missed joint states. No ROS, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clwm_operator.recording import Chunk

STALL_LIMIT = 0.01  # of the boundaries between chunks
GROWTH_LIMIT = 5.0  # MB
CPU_LIMIT = 0.15  # of one core
OPERATOR_LIMIT = 0.25  # of one core, console and recorder together
UNWATCHED_LIMIT = 0.03  # of one core, the console that nobody looks at
SHARE_LIMIT = 150.0  # MB
WARM_UP = 0.1  # of the run, in which buffers fill, is left out of the growth


@dataclass(frozen=True)
class Sample:
    """The executor at one instant, s since the beginning: MB of memory (see process_usage), s of processor time."""

    at: float
    resident: float
    share: float
    processor: float


@dataclass(frozen=True)
class OperatorSide:
    """What ran beside the stack for its operator, in `seconds`; for the first `watched` of them a page looked on.

    console: s of processor time while watched. console_unwatched: in the rest. recorder: in all. pictures: shown to the
    page. recordings, lost: files, and messages that did not reach them.
    """

    seconds: float
    watched: float
    console: float
    console_unwatched: float
    recorder: float
    pictures: int
    recordings: int = 0
    lost: int = 0
    bytes: int = 0

    def report(self) -> dict[str, Any]:
        """Plain values; shares are of one core."""
        console, recorder = self.console / self.watched, self.recorder / self.seconds
        unwatched = self.seconds - self.watched
        alone = {"unwatched_console_cpu_share": self.console_unwatched / unwatched} if unwatched > 0.0 else {}
        return {
            "watched_seconds": round(self.watched, 1),
            "console_cpu_share": console,
            **alone,
            "recorder_cpu_share": recorder,
            "operator_cpu_share": console + recorder,
            "pictures_per_second": self.pictures / self.watched,
            "recordings": self.recordings,
            "recorded_messages_lost": self.lost,
            "recorded_mb": self.bytes / 1e6,
        }


@dataclass
class Soak:
    """Everything of one run; instants in s since it began.

    gaps: longest times between joint states, each longer than the executor's state_timeout, as (instant, length).
    reported_misses: how many times the executor said in its diagnostics that they were stale. boundaries: see `add`.
    holds: when the executor was found to hold the arms, and why, until an operator set POLICY before the next episode.
    operator: what ran beside it, None when nothing did.
    """

    samples: list[Sample] = field(default_factory=list)
    boundaries: list[tuple[float, float]] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    holds: list[tuple[float, str]] = field(default_factory=list)
    reported_misses: int = 0
    restarts: int = 0
    operator: OperatorSide | None = None

    def add(self, chunks: Sequence[Chunk], began_at: float) -> None:
        """Every chunk that was to follow another one while the arms moved is a boundary, with the time it stalled.

        A chunk that never came stalled for as long as it takes to be given up, infinity here.
        """
        for chunk in chunks:
            if not chunk.at_rest and chunk.outcome in ("executed", "timed_out", "stale", "refused"):
                stall = chunk.stall if chunk.was_executed else np.inf
                self.boundaries.append((chunk.observe_at - began_at, stall))


def growth(samples: Sequence[Sample]) -> float:
    """MB by which resident memory grew: the last tenth's median over the first's, after the warm-up."""
    if not samples:
        return 0.0
    start = samples[-1].at * WARM_UP
    later = [sample.resident for sample in samples if sample.at >= start]
    part = max(1, len(later) // 10)
    return float(np.median(later[-part:]) - np.median(later[:part]))


def summarise(soak: Soak, seconds: float) -> dict[str, Any]:
    """Plain values for the report, with the targets they are held against and whether all are met."""
    stalls = [at for at, stall in soak.boundaries if stall > 0.0]
    finite = [stall for _, stall in soak.boundaries if 0.0 < stall < np.inf]
    first, last = (soak.samples[0], soak.samples[-1]) if soak.samples else (Sample(0.0, 0.0, 0.0, 0.0),) * 2
    duration = last.at - first.at
    result = {
        "seconds": round(seconds, 1),
        "episodes": len(soak.outcomes),
        "successes": soak.outcomes.count("success"),
        "boundaries": len(soak.boundaries),
        "stalls": len(stalls),
        "stall_fraction": len(stalls) / max(1, len(soak.boundaries)),
        "longest_stall_s": max(finite, default=0.0),
        "resident_mb_max": max((sample.resident for sample in soak.samples), default=0.0),
        "share_mb_max": max((sample.share for sample in soak.samples), default=0.0),
        "resident_growth_mb": growth(soak.samples),
        "cpu_share": (last.processor - first.processor) / duration if duration > 0.0 else 0.0,
        "joint_state_gaps": len(soak.gaps),
        "longest_joint_state_gap_s": max((length for _, length in soak.gaps), default=0.0),
        "reported_misses": soak.reported_misses,
        "misses_without_diagnostic": max(0, len(soak.gaps) - soak.reported_misses),
        "restarts": soak.restarts,
        "holds": len(soak.holds),
        "reasons_of_holds": [reason for _, reason in soak.holds],
    }
    result |= {} if soak.operator is None else soak.operator.report()
    return {**result, "not_met": not_met(result)}


def not_met(result: dict[str, Any]) -> list[str]:
    """A sentence for every target that was missed."""
    targets = (
        ("stall_fraction", STALL_LIMIT, "of the boundaries stalled"),
        ("resident_growth_mb", GROWTH_LIMIT, "MB more memory at the end"),
        ("share_mb_max", SHARE_LIMIT, "MB as its share of memory"),
        ("cpu_share", CPU_LIMIT, "of one core"),
        ("misses_without_diagnostic", 0, "missed joint states that no diagnostic told of"),
        ("restarts", 0, "nodes had to be started again"),
        ("operator_cpu_share", OPERATOR_LIMIT, "of one core for console and recorder"),
        ("unwatched_console_cpu_share", UNWATCHED_LIMIT, "of one core for a console that nobody looked at"),
    )
    found = [
        f"{result[name]:.3g} {text}; limit {limit}" for name, limit, text in targets if result.get(name, 0) > limit
    ]
    if "pictures_per_second" in result and not (result["pictures_per_second"] and result["recordings"]):
        found.append("the page was shown no pictures, or nothing was recorded: nothing was measured of them")
    return found if result["boundaries"] else [*found, "no chunk followed another one: nothing was measured"]
