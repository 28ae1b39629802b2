"""What a controller makes of a trajectory, in closed form: the exact extremes of its cubics against the limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.path.limits import MotionLimits

Array = NDArray[np.float64]

# Rounding only: times are multiples of a row in float64, and accelerations are second differences over a row squared.
RELATIVE_SLACK = 1e-6
POSITION_SLACK = 1e-9  # rad


@dataclass(frozen=True)
class Violation:
    """A rule that was broken. run, at: the run's number and the virtual time [s], to replay it from the seed."""

    rule: str
    detail: str
    run: int
    at: float


@dataclass(frozen=True)
class CubicExtremes:
    """Of cubic segments (n, joints): lowest and highest position [rad], largest speed and acceleration (absolute)."""

    lowest: Array
    highest: Array
    speed: Array
    acceleration: Array


def cubic_extremes(times: Array, positions: Array, velocities: Array) -> CubicExtremes:
    """Extremes of the cubics through knots (n + 1, joints) at `times` (n + 1,) s: exact, except that positions are
    bounded by the control polygon (never too narrow, at most a third of the bulge too wide)."""
    duration = np.diff(times)[:, None]
    start, end, v0, v1 = positions[:-1], positions[1:], velocities[:-1], velocities[1:]
    way = (end - start) / duration
    a0 = (6.0 * way - 4.0 * v0 - 2.0 * v1) / duration
    a1 = (-6.0 * way + 2.0 * v0 + 4.0 * v1) / duration
    swing = a1 - a0
    # The velocity is a parabola; its vertex lies inside the segment when the acceleration changes sign.
    has_vertex = a0 * a1 < 0.0
    vertex = np.where(has_vertex, v0 - a0 * a0 * duration / (2.0 * np.where(has_vertex, swing, 1.0)), 0.0)
    first, second = start + v0 * duration / 3.0, end - v1 * duration / 3.0
    return CubicExtremes(
        np.minimum(np.minimum(start, end), np.minimum(first, second)),
        np.maximum(np.maximum(start, end), np.maximum(first, second)),
        np.maximum(np.maximum(np.abs(v0), np.abs(v1)), np.abs(vertex)),
        np.maximum(np.abs(a0), np.abs(a1)),
    )


def sampled_range(times: Array, positions: Array, velocities: Array, parts: int = 32) -> tuple[Array, Array]:
    """Lowest and highest position (joints,) [rad] of the same cubics at `parts` instants of every segment."""
    duration = np.diff(times)[:, None]
    low, high = positions.min(axis=0), positions.max(axis=0)
    for s in np.linspace(0.0, 1.0, parts + 1)[1:-1]:
        at = (
            (1 + 2 * s) * (1 - s) ** 2 * positions[:-1]
            + s * s * (3 - 2 * s) * positions[1:]
            + s * (1 - s) * duration * ((1 - s) * velocities[:-1] - s * velocities[1:])
        )
        low, high = np.minimum(low, at.min(axis=0)), np.maximum(high, at.max(axis=0))
    return low, high


def check_motion(times: Array, positions: Array, velocities: Array, limits: MotionLimits) -> list[tuple[str, str]]:
    """Rules that a trajectory breaks, as (rule, detail): `position`, `velocity`, `acceleration`, `end velocity`.

    times: (n,) s; positions, velocities: (n, joints); limits of these joints.
    """
    broken = []
    if velocities[-1].any():
        joint = int(np.abs(velocities[-1]).argmax())
        broken.append(("end velocity", f"joint {joint} ends at {velocities[-1, joint]:.4f} rad/s; expected 0"))
    if len(times) < 2:
        return broken
    found = cubic_extremes(times, positions, velocities)
    for rule, values, bound, unit in (
        ("velocity", found.speed, limits.velocity, "rad/s"),
        ("acceleration", found.acceleration, limits.acceleration, "rad/s^2"),
    ):
        share = values / bound
        if share.max() > 1.0 + RELATIVE_SLACK:
            segment, joint = np.unravel_index(int(share.argmax()), share.shape)
            text = f"joint {joint} in segment {segment}: {values[segment, joint]:.6f} {unit}"
            broken.append((rule, f"{text}; limit {bound[joint]} {unit}"))
    low, high = limits.lower - POSITION_SLACK, limits.upper + POSITION_SLACK
    if (found.lowest < low).any() or (found.highest > high).any():
        lowest, highest = sampled_range(times, positions, velocities)
        excess = np.maximum(low - lowest, highest - high)
        if excess.max() > 0.0:
            joint = int(excess.argmax())
            broken.append(("position", f"joint {joint} is {excess[joint]:.6f} rad outside its limits"))
    return broken
