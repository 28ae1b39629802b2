"""The back end `forward`: a path as a stream of positions, for a controller that passes on whatever it got last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT
from clwm_sai_executor.events import SendTrajectory
from clwm_sai_executor.path.splice import Path, sample

Array = NDArray[np.float64]

# A tick may come so many periods after the one before it and still find the arm on its path. The arm stands in its last
# position after that, and is brought back to the path no faster than it may move.
LATE_TICKS = 2.0
LAST_COPIES = 3  # of the last position, after which nothing makes up for one that is lost


class PositionStream:
    """What one arm is told, tick by tick, of the trajectories that a joint_trajectory_controller would execute itself.

    Every tick samples the path at its own instant, so a tick that is late or missing leaves no backlog. Between two
    positions the mean velocity, and from pair to pair its change, are within the path's limits.
    """

    def __init__(self, velocity: Array, period: float) -> None:
        """velocity: the arm's limits (joints,) rad/s. period: s between two ticks."""
        self._step = velocity * period * LATE_TICKS
        self._path: Path | None = None
        self._stamp = 0.0
        self._is_over = True
        self._ends = 0
        self._at = 0.0
        self._sent: Array | None = None

    @property
    def is_over(self) -> bool:
        """Whether the last position of all has been sent, LAST_COPIES times; the arm rests in it."""
        return self._is_over

    def take(self, command: SendTrajectory) -> None:
        """Follow this path from the next tick on."""
        times, old = command.times_from_start, self._path
        # A path with another stamp starts at rest. When that is not where the last one ended, the arm was measured
        # there, and the command has to leap to it.
        if old is None or (self._stamp != command.stamp and not np.allclose(old.positions[-1], command.positions[0])):
            self._sent = None
        if old is None or self._stamp != command.stamp:
            self._at = -np.inf
        self._stamp = command.stamp
        self._path = Path(
            origin=command.stamp,
            dt=ROW_DT,
            first=0,
            offsets=times,
            positions=command.positions,
            velocities=command.velocities,
            openings=np.zeros((len(times), 0)),
            last_row=len(times) - 1,
        )
        self._is_over, self._ends = False, 0

    def drop(self) -> None:
        """Say nothing more of the path: the arm is not on it."""
        self._path, self._sent, self._is_over = None, None, True

    def due(self, now: float) -> Array | None:
        """The positions (joints,) rad to send at a tick; None when the arm rests and knows it."""
        path = self._path
        if path is None or self._is_over:
            return None
        self._at = max(self._at, now)  # a clock that was set back holds the arm, it does not move it backwards
        position = sample(path, self._at)[0]
        if self._sent is not None:
            position = np.clip(position, self._sent - self._step, self._sent + self._step)
        self._sent = position
        if self._at >= path.time(path.last) and np.array_equal(position, path.positions[-1]):
            self._ends += 1
        self._is_over = self._ends >= LAST_COPIES
        return position
