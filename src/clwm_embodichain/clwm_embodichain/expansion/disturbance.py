"""Smooth disturbances of the expert's commands, so that the recorded states include those a policy gets itself into.

As in DART, the noise is sent to the robot but the label stays the expert's answer to where the noise led.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT

MAX_SHIFT = 0.015  # m, standard deviation of the strongest wandering
TURN_PER_SHIFT = 2.0  # rad per m: 15 mm goes with 0.03 rad
UNDISTURBED_SHARE = 0.25  # of the episodes wander not at all
CORRELATION = 0.4  # s
PUSH_SHARE = 0.3  # of the episodes get one large push
PUSH_ROWS = 8
PUSH_SIZE = (0.03, 0.06)  # m
FUMBLE_SHARE = 0.2  # of the episodes close a hand in mid-air once
FUMBLE_ROWS = 7


class Disturbance:
    """Wandering of both tool centre points (Ornstein-Uhlenbeck), and now and then a push or a hand closed too early."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._spread = rng.uniform(0.0, MAX_SHIFT) if rng.random() > UNDISTURBED_SHARE else 0.0
        self._offset = np.zeros((2, 6))
        self._push_at = int(rng.integers(8, 50)) if rng.random() < PUSH_SHARE else None
        direction = rng.normal(size=(2, 3))
        direction[:, 2] = np.abs(direction[:, 2])  # never into the table
        size = rng.uniform(*PUSH_SIZE, size=(2, 1))
        self._push = direction / np.linalg.norm(direction, axis=1, keepdims=True) * size
        self._fumble_at = int(rng.integers(8, 40)) if rng.random() < FUMBLE_SHARE else None
        self._fumbling = rng.random(2) < 0.7
        self._row = 0

    def next_step(self, tolerance: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shift (2, 3) in m and turn (2, 3) in rad of the next row, scaled by each arm's tolerance (2,) in 0..1."""
        decay = np.exp(-ROW_DT / CORRELATION)
        scale = self._spread * np.array([1.0] * 3 + [TURN_PER_SHIFT] * 3)
        before = self._offset
        self._offset = decay * before + np.sqrt(1.0 - decay**2) * scale * self._rng.normal(size=(2, 6))
        step = self._offset - before
        if self._push_at is not None and 0 <= self._row - self._push_at < PUSH_ROWS:
            phase = (self._row - self._push_at + 0.5) / PUSH_ROWS
            step[:, :3] += self._push * (1.0 - np.cos(2.0 * np.pi * phase)) / PUSH_ROWS
        step = step * np.asarray(tolerance)[:, None]
        self._row += 1
        return step[:, :3], step[:, 3:]

    def closes_early(self, tolerance: NDArray) -> NDArray[np.bool_]:
        """(2,) hands that close in the coming row though nothing is near; ask before `next_step`."""
        is_due = self._fumble_at is not None and 0 <= self._row - self._fumble_at < FUMBLE_ROWS
        return self._fumbling & is_due & (np.asarray(tolerance) >= 0.5)
