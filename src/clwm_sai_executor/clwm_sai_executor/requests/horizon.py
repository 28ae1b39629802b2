"""The execution horizon and the lead of the next request, from how late chunks and ticks were of late."""

from __future__ import annotations

from collections import deque

import numpy as np

from clwm_common.actions import CHUNK_ROWS
from clwm_sai_executor.config import SchedulerConfig

_WINDOW = 200  # chunks, or ticks
_ENOUGH = 20  # samples before anything is concluded from them
_WARM_UP = 5  # chunks after a start of the policy that say nothing about the later ones


class AdaptiveHorizon:
    """Counts consumed rows, not seconds: a chunk costs the rows that had become unchangeable when it came.

    A chunk whose execution horizon is H leaves 16 - H committed rows, the first of which is the command at the
    observation itself; one that costs n rows is in time when n <= 15 - H. Chunks asked for at rest hold nobody up and
    do not count.
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._costs: deque[int] = deque(maxlen=_WINDOW)
        self._lateness: deque[float] = deque(maxlen=_WINDOW)
        self._to_skip = _WARM_UP

    def restart(self) -> None:
        """The policy starts anew: its next calls are warm-up calls."""
        self._to_skip = _WARM_UP

    def answered(self, rows: int) -> None:
        """A chunk came when `rows` knots after the one of its observation could not be changed any more."""
        if self._to_skip > 0:
            self._to_skip -= 1
            return
        self._costs.append(rows)

    def ticked(self, lateness: float) -> None:
        """A tick was `lateness` s late; NaN when that is not known."""
        if lateness == lateness:
            self._lateness.append(lateness)

    @property
    def rows(self) -> int:
        """Rows that run before the next observation: as many as let the configured share of chunks come in time."""
        config = self._config
        if not config.adapt_pace or config.execution_horizon >= CHUNK_ROWS or len(self._costs) < _ENOUGH:
            return config.execution_horizon
        cost = int(np.quantile(self._costs, config.pace_percentile, method="higher"))
        wanted = min(max(CHUNK_ROWS - 1 - cost, config.execution_horizon_min), config.execution_horizon)
        # The lower bound is a known one, so there always is one that leaves enough rows within the bounds.
        known = [rows for rows in config.known_horizons if config.execution_horizon_min <= rows <= wanted]
        return max(known, default=wanted)

    @property
    def lead(self) -> float:
        """How long [s] before its instant a knot cannot be changed any more: longer where the executor is late."""
        config = self._config
        if not config.adapt_pace or len(self._lateness) < _ENOUGH:
            return config.lead
        late = float(np.quantile(self._lateness, config.pace_percentile, method="higher"))
        return min(config.lead + late, config.lead_max)
