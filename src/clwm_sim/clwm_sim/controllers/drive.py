"""What a robot's drives make of positions that come in steps: they follow smoothly, a little behind."""

from __future__ import annotations

import numpy as np

from clwm_common.control.trajectory import Numbers

BANDWIDTH = 100.0  # rad/s; a steady motion is followed 2 / BANDWIDTH = 20 ms behind


class StreamDrive:
    """A critically damped filter of second order: positions go in, positions come out, without overshoot."""

    def __init__(self, position: Numbers) -> None:
        self.reset(position)

    def reset(self, position: Numbers) -> None:
        """Rest at `position` (joints,) rad."""
        self._position = np.array(position, dtype=np.float64)
        self._velocity = np.zeros_like(self._position)

    def update(self, command: Numbers, period: float) -> Numbers:
        """The position (joints,) rad after `period` s, well below 1 / BANDWIDTH, of following `command` (joints,)."""
        pull = BANDWIDTH**2 * (command - self._position) - 2.0 * BANDWIDTH * self._velocity
        self._velocity = self._velocity + period * pull
        self._position = self._position + period * self._velocity
        return self._position
