"""Where the path may go: its knots, braking tail included, are looked at before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.checks.chunk_rules import ChunkRefused
from clwm_sai_executor.checks.clearance import MarginsOf
from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.path.splice import Path, SpliceFacts, splice

Array = NDArray[np.float64]

_ROUNDING = 1e-5  # m; more would let arms that are too near creep nearer, chunk by chunk
_WHAT = {"arms": "brings the arms together", "table": "reaches into the table", "workspace": "leaves the workspace"}


@dataclass(frozen=True)
class PathCheck:
    """margins: joints (n, 14) -> what is left [m]. gross: a path that goes so much too far [m] is refused, not cut."""

    margins: MarginsOf
    gross: float

    def splice(
        self, path: Path, at: int, rows: Array, openings: Array, limits: MotionLimits
    ) -> tuple[Path, SpliceFacts]:
        """`splice`, with as many of the rows as keep clear; the arms stop after these.

        Arms that are too near already may move, but never nearer than they were at any knot from `at` on: then what is
        left of the path keeps this promise from every later knot, too. Raises ChunkRefused for what goes grossly too
        far.
        """
        count = keep = len(rows)
        spliced, facts = splice(path, at, rows, openings, limits)
        first = self._first_bad(spliced, at, refuse_in=count)
        # The braking tail needs way: cut before the first bad knot, and much more where the tail still goes too far.
        while first is not None and keep > 1:
            keep = max(1, min(first - 1, keep - 1 if keep == count else keep // 2))
            held = np.repeat(rows[keep - 1 : keep], count - keep, axis=0)
            spliced, facts = splice(path, at, np.concatenate([rows[:keep], held]), openings, limits)
            first = self._first_bad(spliced, at)
        if first is not None:
            # Not one row: the arms end as they would have ended without the chunk, on knots that were looked at. A stop
            # made anew on the way would be another one: joints that brake together now may have braked apart.
            keep, spliced = 0, replace(path.resting_until(at + count), last_row=at + count)
        return spliced, replace(facts, cut=count - keep)

    def _first_bad(self, path: Path, at: int, refuse_in: int = 0) -> int | None:
        """Number of the first knot after `at` that goes too far, from 0; None when all are clear.

        Raises ChunkRefused when one of the first `refuse_in` goes grossly too far.
        """
        margins = self.margins(path.positions[at - path.first :])
        first: int | None = None
        for name, what in _WHAT.items():
            left = getattr(margins, name)
            # The rounding is of the best so far, so that it does not add up from knot to knot.
            allowed = np.minimum(0.0, np.maximum.accumulate(left)[:-1] - _ROUNDING)
            too_far = allowed - left[1:]
            worst = float(too_far[:refuse_in].max(initial=-np.inf))
            if worst > self.gross:
                raise ChunkRefused(f"the chunk {what}: {worst:.3f} m too far; expected at most {self.gross} m")
            bad = np.flatnonzero(too_far > 0.0)
            if bad.size:
                first = int(bad[0]) if first is None else min(first, int(bad[0]))
        return first
