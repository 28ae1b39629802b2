"""Counts and windowed percentiles of what the executor did. Knows no clock: instants are handed in."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from clwm_sai_executor.path.splice import SpliceFacts
from clwm_sai_executor.requests.timeline import ChunkRecord

WINDOW = 1000
SPLIT = ("encode", "memory", "context", "finish")


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """p50, p95, p99 and max of finite values; None each when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return dict.fromkeys(("p50", "p95", "p99", "max"))
    p50, p95, p99 = np.percentile(finite, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": float(max(finite))}


def event_reactions(records: Iterable[ChunkRecord]) -> list[float]:
    """Time [s] from an event to the first motion that can answer it, for events at evenly spread instants.

    An event between two observations is seen in the second one, and answered by the first new row of its chunk. Where
    a chunk was asked for anew from rest there is no observation before it that it could follow on.
    """
    spread, reactions, before = np.linspace(0.0, 1.0, 8, endpoint=False), [], None
    for record in records:
        if before is not None and not record.at_rest:
            waits = spread * (record.observation_stamp - before.observation_stamp)
            reactions.extend(waits + record.first_motion_at - record.observation_stamp)
        before = record
    return reactions


class Metrics:
    """What is measured, always the same way.

    idle_fraction: of the time since the first motion of each task epoch in which the policy is to move the arms, the
    part in which no row of a chunk ran: braking tails after a late chunk, and waiting at rest. The wait for the very
    first chunk of an epoch is not in it. stalls: boundaries at which the next chunk was not there. Jumps are changes of
    the mean velocity from one row to the next [rad/s], and steps of the acceleration [rad/s^2], largest joint: at
    seams, and within chunks. blend: how far the first rows of a chunk were moved to lead over to it [rad].
    event_reaction: from an event at any instant to the first motion that can answer it; teleop_reaction: from a human's
    input to the first knot that answers it. Percentiles are over the last 1000 chunks, ticks or inputs.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything measured so far."""
        self._records: deque[ChunkRecord] = deque(maxlen=WINDOW)
        self._seam_jumps: deque[float] = deque(maxlen=WINDOW)
        self._inner_jumps: deque[float] = deque(maxlen=WINDOW)
        self._seam_steps: deque[float] = deque(maxlen=WINDOW)
        self._inner_steps: deque[float] = deque(maxlen=WINDOW)
        self._blends: deque[float] = deque(maxlen=WINDOW)
        self._state_gaps: deque[float] = deque(maxlen=WINDOW)
        self._lateness: deque[float] = deque(maxlen=WINDOW)
        self._human_reactions: deque[float] = deque(maxlen=WINDOW)
        self._counts: Counter[str] = Counter()
        self._active_seconds = 0.0
        self._busy_seconds = 0.0
        self._stall_seconds = 0.0
        self._largest_clamp = 0.0

    def count(self, what: str, how_many: int = 1) -> None:
        """Add to one of the counters of `summary`."""
        self._counts[what] += how_many

    def counted(self, what: str) -> int:
        """One of the counters."""
        return self._counts[what]

    def elapse(self, start: float, end: float, busy_from: float, busy_until: float) -> None:
        """The policy was to move the arms from `start` to `end`; rows ran from `busy_from` to `busy_until`."""
        self._active_seconds += end - start
        self._busy_seconds += max(0.0, min(end, busy_until) - max(start, busy_from))

    def executed(self, record: ChunkRecord, facts: SpliceFacts) -> None:
        """A chunk was sent to the arms; `record` may still receive the policy's report."""
        self._records.append(record)
        self._counts["chunks"] += 1
        self._counts["clamped_positions"] += facts.clamped
        self._counts["cut_rows"] += facts.cut
        self._largest_clamp = max(self._largest_clamp, facts.largest_clamp)
        self._stall_seconds += record.stall
        if not record.at_rest:
            self._seam_jumps.append(facts.seam_jump)
            self._seam_steps.append(facts.seam_acceleration_jump)
        self._inner_jumps.extend(facts.inner_jumps)
        self._inner_steps.extend(facts.inner_acceleration_jumps)
        self._blends.append(facts.largest_blend)

    def state_gap(self, seconds: float) -> None:
        """Time between two joint states."""
        self._state_gaps.append(seconds)

    def ticked(self, lateness: float) -> None:
        """A tick came so many seconds after it was due; NaN is not counted."""
        self._lateness.append(lateness)

    def answered_human(self, seconds: float) -> None:
        """Time from a human's input to the first knot that answers it."""
        self._human_reactions.append(seconds)

    def summary(self) -> dict[str, Any]:
        """Plain values for diagnostics, the demo's table and evaluation; times in ms where the name says so."""
        records = list(self._records)
        reports = [(record, record.report) for record in records if record.report is not None]
        split = {name: percentiles(1e3 * getattr(report, f"{name}_seconds") for _, report in reports) for name in SPLIT}
        split["transport"] = percentiles(
            1e3 * (record.blocking - sum(getattr(report, f"{name}_seconds") for name in SPLIT))
            for record, report in reports
        )
        split["send"] = percentiles(1e3 * (record.sent_at - record.arrived_at) for record in records)
        idle = 1.0 - self._busy_seconds / self._active_seconds if self._active_seconds > 0.0 else 0.0
        return {
            "chunks": self._counts["chunks"],
            "stalls": self._counts["stalls"],
            "stall_seconds": self._stall_seconds,
            "idle_fraction": idle,
            "active_seconds": self._active_seconds,
            "blocking_ms": percentiles(1e3 * record.blocking for record in records),
            "blocking_split_ms": split,
            "observation_age_ms": percentiles(
                1e3 * (record.first_motion_at - record.observation_stamp) for record in records
            ),
            "surrogate_error": percentiles(report.surrogate_error for _, report in reports),
            "copy_error": percentiles(report.copy_error for _, report in reports),
            "seam_jump": percentiles(self._seam_jumps),
            "inner_jump": percentiles(self._inner_jumps),
            "seam_acceleration_jump": percentiles(self._seam_steps),
            "inner_acceleration_jump": percentiles(self._inner_steps),
            "blend": percentiles(self._blends),
            "clamped_positions": self._counts["clamped_positions"],
            "clamped_openings": self._counts["clamped_openings"],
            "clamped_quaternions": self._counts["clamped_quaternions"],
            "missed_poses": self._counts["missed_poses"],
            "rough_rows": self._counts["rough_rows"],
            "cut_rows": self._counts["cut_rows"],
            "stale_observations": self._counts["stale_observations"],
            "largest_clamp": self._largest_clamp,
            "requests": self._counts["requests"],
            "dropped": self._counts["dropped"],
            "refused": self._counts["refused"],
            "cancelled": self._counts["cancelled"],
            "timeouts": self._counts["timeouts"],
            "state_stale": self._counts["state_stale"],
            "driver_faults": self._counts["driver_faults"],
            "resets": self._counts["resets"],
            "tick_lateness_ms": percentiles(1e3 * late for late in self._lateness),
            "teleop_reaction_ms": percentiles(1e3 * seconds for seconds in self._human_reactions),
            "event_reaction_ms": percentiles(1e3 * seconds for seconds in event_reactions(records)),
            "joint_state_gap_ms": percentiles(1e3 * gap for gap in self._state_gaps),
        }
