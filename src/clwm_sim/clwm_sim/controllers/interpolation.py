"""Set points between two action rows, for driving a world without controllers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, JOINTS, ROW_DT
from clwm_sim.stage import Setpoint


def between(before: NDArray, after: NDArray, start: float) -> Setpoint:
    """Set points that go in a straight line from row `before` at time `start` to row `after` one row time later."""
    first, last, widths = before[JOINTS].astype(np.float64), after[JOINTS].astype(np.float64), after[GRIPPERS]

    def setpoint(time: float) -> tuple[NDArray, NDArray]:
        share = min(max((time - start) / ROW_DT, 0.0), 1.0)
        return first + share * (last - first), widths

    return setpoint
