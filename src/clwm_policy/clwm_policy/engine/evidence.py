"""Evidence that stated deviations hold: on idle time a sample of the sent chunks is made again, from the start.

The same observation, memory and noise, so that what differs is what re-entry cost. Which chunks are sampled is a
function of their noise alone, never of how they came out or of a clock: a share of kept bounds is then an unbiased one
of all chunks, but for those whose time ran out.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

from clwm_common.messages import ChunkRequest, SaiReport
from clwm_common.proportions import wilson95
from clwm_policy.engine.program import Program, Sequential
from clwm_policy.engine.tool_motion import chunk_distance
from clwm_policy.model.action_codec import ActionCodec

FRACTION = 0.1  # of the chunks


def is_sampled(episode_seed: int, chunk_id: int, fraction: float) -> bool:
    """Whether this chunk is one of the `fraction` that is made again."""
    digest = hashlib.sha256(f"{episode_seed}:{chunk_id}:evidence".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


class Evidence:
    """Makes the last chunk again, step by step, when it is sampled. fraction: of the chunks, 0 ... 1.

    Raises ValueError for another fraction.
    """

    def __init__(self, fraction: float, codec: ActionCodec) -> None:
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(
                f"evidence_fraction is {fraction}; expected 0 (none) to 1 (every chunk), such as {FRACTION}"
            )
        self._fraction = fraction
        self._codec = codec
        self.drop()

    @property
    def found(self) -> tuple[int, float]:
        """Id and deviation [m of tool motion] of the chunk; 0 and NaN until it was made again to its end."""
        return self._found

    def drop(self) -> None:
        """Forget the chunk: what it depends on has changed."""
        self._sent: Program | None = None
        self._sequential: Sequential | None = None
        self._chunk_id = 0
        self._found = 0, math.nan

    def begin(self, sent: Program, request: ChunkRequest) -> None:
        """Drop what was begun, and make `sent`, a finished chunk of a real observation, again if it is sampled."""
        self.drop()
        if is_sampled(request.episode_seed, request.chunk_id, self._fraction):
            self._sent, self._chunk_id = sent, request.chunk_id

    def advance(self) -> bool:
        """Run one step; False when there is none. The observation must have been written by then."""
        if self._sent is None:
            return False
        if self._sequential is None:
            self._sequential = self._sent.sequential()
        self._sequential.advance()
        if self._sequential.rows is not None:
            strayed = float(chunk_distance(self._sent.rows - self._sequential.rows, self._codec).max())
            # A chunk without a finite sequential one has no bound that it could have kept.
            self._found = self._chunk_id, strayed if math.isfinite(strayed) else math.inf
            self._sent = self._sequential = None
        return True


@dataclass
class Tally:
    """How many chunks were made again, and how many of them had kept the deviation stated for them.

    largest: deviation [m]. Chunks of a re-entry policy that states none are only counted.
    """

    made_again: int = 0
    stated: int = 0
    kept: int = 0
    largest: float = 0.0
    _last: tuple[int, float] = field(default=(0, math.nan), repr=False)

    def __post_init__(self) -> None:
        wilson95(0, 1)  # loads scipy now, and not while a chunk is waited for

    def add(self, report: SaiReport) -> None:
        """Count the evidence that a report brings about the chunk before."""
        chunk_id, expected = self._last
        if not math.isnan(report.evidence_deviation):
            self.made_again += 1
            self.largest = max(self.largest, report.evidence_deviation)
            if report.evidence_chunk_id == chunk_id and math.isfinite(expected):
                self.stated += 1
                self.kept += report.evidence_deviation <= expected
        self._last = report.chunk_id, report.expected_deviation

    def values(self, coverage: float | None) -> dict[str, Any]:
        """For diagnostics. coverage: how often the stated deviation is to hold; None when none is stated."""
        values: dict[str, Any] = {"evidence_chunks": self.made_again}
        if self.made_again:
            values["evidence_deviation_mm_max"] = 1e3 * self.largest
        if self.stated and coverage is not None:
            low, high = wilson95(self.kept, self.stated)
            values["evidence_kept"] = f"{self.kept} of {self.stated}: {self.kept / self.stated:.3f}"
            values["evidence_kept_95"] = f"{low:.3f} to {high:.3f}"
            values["evidence_stated"] = coverage
        return values
