"""What the arms did, from their joint states: limits kept, and when and where they came to rest. No ROS, no clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription

Array = NDArray[np.float64]

REST_SPEED = 0.02  # rad/s below which a joint counts as standing: servos under load creep by less
REST_LASTS = 0.1  # s for which all joints must stand
SLOPE_SAMPLES = 7  # joint states, 60 ms at 100 Hz, over which an acceleration is fitted
# Measured, not commanded: a servo that follows a command at its limit overshoots it a little.
TOLERANCES = {"position": 0.002, "velocity": 0.02, "acceleration": 0.10}  # rad, and fractions of the limits


@dataclass(frozen=True)
class Rest:
    """Standstill from the instant `at` on; travel: the farthest that any joint was from where it was before [rad]."""

    at: float
    travel: float


@dataclass(frozen=True)
class MotionRecord:
    """Joint states in order of their stamps: times (n,) s, positions (n, 14) rad, velocities (n, 14) rad/s."""

    times: Array
    positions: Array
    velocities: Array

    def between(self, start: float, end: float) -> MotionRecord:
        chosen = (self.times >= start) & (self.times <= end)
        return MotionRecord(self.times[chosen], self.positions[chosen], self.velocities[chosen])

    def speed(self) -> Array:
        """The fastest joint's speed (n,) rad/s."""
        return np.abs(self.velocities).max(axis=1)

    def longest_leap(self) -> float:
        """The longest time between two joint states of moving arms [s]; zero when there is none.

        Simulated arms whose world cannot keep up leap along their trajectory, as no real arm does.
        """
        speed = self.speed()
        moving = np.maximum(speed[1:], speed[:-1]) > REST_SPEED
        return float(np.diff(self.times)[moving].max(initial=0.0))

    def rest_after(self, instant: float) -> Rest | None:
        """The first standstill at or after `instant` that lasts; None when the record shows none."""
        later = self.between(instant, np.inf)
        stands = later.speed() <= REST_SPEED
        begins: float | None = None
        for time, is_standing in zip(later.times, stands, strict=True):
            if not is_standing:
                begins = None
                continue
            begins = time if begins is None else begins
            if time - begins >= REST_LASTS:
                way = np.abs(later.positions[later.times <= begins] - later.positions[0])
                return Rest(float(begins), float(way.max()))
        return None

    def accelerations(self) -> tuple[Array, Array]:
        """Instants (m,) and accelerations (m, 14) rad/s^2: slopes of straight lines through SLOPE_SAMPLES velocities.

        A line through 60 ms is what a row of 50 ms can be judged by: single differences of 100 Hz states show the
        ripple of the servos and contacts, which no limit of a trajectory is about. Windows with a gap are left out.
        """
        if len(self.times) < SLOPE_SAMPLES:
            return np.zeros(0), np.zeros((0, self.velocities.shape[1]))
        windows = np.lib.stride_tricks.sliding_window_view(self.times, SLOPE_SAMPLES)
        offsets = windows - windows.mean(axis=1, keepdims=True)
        values = np.lib.stride_tricks.sliding_window_view(self.velocities, SLOPE_SAMPLES, axis=0)
        slopes = np.einsum("nk,njk->nj", offsets, values) / (offsets**2).sum(axis=1)[:, None]
        whole = np.diff(windows, axis=1).max(axis=1) <= 0.0151
        return windows.mean(axis=1)[whole], slopes[whole]


@dataclass(frozen=True)
class LimitShares:
    """The largest excess over a position limit [rad, negative inside] and shares of velocity and acceleration used."""

    position_excess: float
    velocity: float
    acceleration: float

    def broken(self) -> list[str]:
        """Sentences about the limits that were not kept, by more than TOLERANCES."""
        found = []
        if self.position_excess > TOLERANCES["position"]:
            found.append(f"a joint was {self.position_excess:.4f} rad beyond its position limit")
        for name in ("velocity", "acceleration"):
            share = getattr(self, name)
            if share > 1.0 + TOLERANCES[name]:
                found.append(f"a joint's {name} was {share:.2f} times its limit")
        return found


def limit_shares(record: MotionRecord, robot: RobotDescription) -> LimitShares:
    """How much of the robot's limits the arms used. An empty record used nothing."""
    if len(record.times) == 0:
        return LimitShares(-np.inf, 0.0, 0.0)
    low, high = robot.limit("position_lower"), robot.limit("position_upper")
    excess = np.maximum(low - record.positions, record.positions - high).max()
    _, accelerations = record.accelerations()
    return LimitShares(
        float(excess),
        float((np.abs(record.velocities) / robot.limit("velocity")).max()),
        float((np.abs(accelerations) / robot.limit("acceleration")).max()) if len(accelerations) else 0.0,
    )
