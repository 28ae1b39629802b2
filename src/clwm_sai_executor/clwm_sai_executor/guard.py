"""Where the path may go: its knots, braking tail included, are looked at before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.clearance import MarginsOf
from clwm_sai_executor.limits import MotionLimits
from clwm_sai_executor.rules import ChunkRefused
from clwm_sai_executor.splice import Path, SpliceFacts, splice, stop

Array = NDArray[np.float64]

_ROUNDING = 1e-5  # m; more would let arms that are too near creep nearer, chunk by chunk
_WHAT = {"arms": "brings the arms together", "table": "reaches into the table", "workspace": "leaves the workspace"}


@dataclass(frozen=True)
class Guard:
    """margins: joints (n, 14) -> what is left [m]. gross: a path that goes so much too far [m] is refused, not cut."""

    margins: MarginsOf
    gross: float

    def splice(
        self, path: Path, at: int, rows: Array, openings: Array, limits: MotionLimits
    ) -> tuple[Path, SpliceFacts]:
        """`splice`, with as many of the rows as keep clear; the arms stop after these.

        Arms that are too near already may move, but not nearer. Raises ChunkRefused for what goes grossly too far.
        """
        spliced, facts = splice(path, at, rows, openings, limits)
        first = self._first_bad(spliced, at, refuse_in=len(rows))
        keep = len(rows)
        # The braking tail needs way: cut before the first bad knot, and once more where the tail still goes too far.
        while first is not None and keep > 1:
            keep = max(1, min(first, keep) - 1 - (keep > len(rows) // 2))
            held = np.repeat(rows[keep - 1 : keep], len(rows) - keep, axis=0)
            spliced, facts = splice(path, at, np.concatenate([rows[:keep], held]), openings, limits)
            first = self._first_bad(spliced, at)
        if first is not None:
            keep, rest = 0, stop(path, at, limits).positions[-1:]
            spliced, facts = splice(path, at, np.repeat(rest, len(rows), axis=0), openings, limits)
        return spliced, replace(facts, cut=len(rows) - keep)

    def _first_bad(self, path: Path, at: int, refuse_in: int = 0) -> int | None:
        """Number of the first knot after `at` that goes too far, from 0; None when all are clear.

        Raises ChunkRefused when one of the first `refuse_in` goes grossly too far.
        """
        margins = self.margins(path.positions[at - path.first :])
        first: int | None = None
        for name, what in _WHAT.items():
            left = getattr(margins, name)
            allowed = min(0.0, float(left[0]) - _ROUNDING)
            worst = float(left[1 : 1 + refuse_in].min(initial=np.inf))
            if worst < allowed - self.gross:
                raise ChunkRefused(f"the chunk {what}: {-worst:.3f} m too far; expected at most {self.gross} m")
            bad = np.flatnonzero(left[1:] < allowed)
            if bad.size:
                first = int(bad[0]) if first is None else min(first, int(bad[0]))
        return first
