"""Limits that every knot sent to the arms obeys, and the gate that a chunk passes before it may become knots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, JOINTS, LAYOUT_VERSION, LayoutError, check_rows
from clwm_common.messages import ActionChunk, ChunkRequest
from clwm_common.robot import RobotDescription

Array = NDArray[np.float64]


class LimitError(ValueError):
    """A state from which no motion within the limits exists."""


class ChunkRefused(ValueError):
    """A chunk that must not move the arms; the message is the reason that is latched."""


@dataclass(frozen=True)
class MotionLimits:
    """Bounds for both arms, each (14,), left arm first: rad, rad, rad/s, rad/s^2."""

    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array

    @classmethod
    def of(
        cls,
        robot: RobotDescription,
        *,
        velocity_scale: float = 1.0,
        acceleration_scale: float = 1.0,
        margin: float = 0.0,
    ) -> MotionLimits:
        """The robot's limits, velocity and acceleration scaled, positions moved inwards by `margin` rad."""
        return cls(
            robot.limit("position_lower") + margin,
            robot.limit("position_upper") - margin,
            robot.limit("velocity") * velocity_scale,
            robot.limit("acceleration") * acceleration_scale,
        )

    def columns(self, joints: NDArray[np.intp]) -> MotionLimits:
        """The same limits for some of the joints."""
        return MotionLimits(self.lower[joints], self.upper[joints], self.velocity[joints], self.acceleration[joints])

    def widened_for(self, position: Array, velocity: Array, dt: float) -> MotionLimits:
        """Limits that contain this state and its braking distance, so that arms found outside can move back in."""
        reach = position + stopping_distance(velocity, self.acceleration, dt)
        return MotionLimits(
            np.minimum(self.lower, np.minimum(position, reach)),
            np.maximum(self.upper, np.maximum(position, reach)),
            np.maximum(self.velocity, np.abs(velocity)),
            self.acceleration,
        )


def stopping_steps(velocity: Array, acceleration: Array, dt: float) -> Array:
    """How many whole steps of `dt` it takes each joint to stop at a constant deceleration within its limit."""
    return np.ceil(np.abs(velocity) / (acceleration * dt) - 1e-9)


def stopping_distance(velocity: Array, acceleration: Array, dt: float) -> Array:
    """Signed way (…, joints) [rad] that such a stop takes.

    A state whose stop ends inside the position limits keeps this property at every step of the stop: it is the
    invariant that makes braking possible from every knot.
    """
    return velocity * stopping_steps(velocity, acceleration, dt) * dt / 2.0


def check_chunk(
    chunk: ActionChunk, request: ChunkRequest, *, refuse_step: float, prefix_tolerance: float, dt: float
) -> NDArray[np.float64]:
    """Return the rows (16, 30) of a chunk that may be executed as an answer to `request`.

    refuse_step: largest distance [rad] of any joint from one row to the next. prefix_tolerance: largest distance [rad]
    of the chunk's first rows from the committed ones. Raises ChunkRefused with the reason otherwise.
    """
    name = f"chunk {chunk.chunk_id}"
    if chunk.layout_version != LAYOUT_VERSION:
        raise ChunkRefused(
            f"{name} has layout version {chunk.layout_version}, {LAYOUT_VERSION} expected; "
            "run the same release of the policy and the executor"
        )
    if np.shape(chunk.rows) != (CHUNK_ROWS, ACTION_DIM):
        raise ChunkRefused(f"{name} has rows of shape {np.shape(chunk.rows)}; expected ({CHUNK_ROWS}, {ACTION_DIM})")
    try:
        rows = check_rows(chunk.rows, name=name).astype(np.float64)
    except LayoutError as error:
        raise ChunkRefused(f"{error}; look at the policy's inputs and checkpoint") from None
    if abs(chunk.dt - dt) > 1e-6:
        raise ChunkRefused(f"{name} has {chunk.dt} s between rows; expected {dt} s")
    committed = request.committed_prefix
    prefix = len(committed)
    if chunk.prefix_rows != prefix:
        raise ChunkRefused(f"{name} repeats {chunk.prefix_rows} committed rows; {prefix} were committed")
    gap = np.abs(rows[:prefix, JOINTS] - committed[:, JOINTS])
    if gap.max() > prefix_tolerance:
        raise ChunkRefused(
            f"{name} starts {gap.max():.4f} rad from the committed rows; expected at most {prefix_tolerance} rad"
        )
    # The knots before row `prefix` are sent as committed, so the first step is measured from there.
    joints = np.concatenate([committed[prefix - 1 : prefix, JOINTS], rows[prefix:, JOINTS]])
    steps = np.abs(np.diff(joints, axis=0)).max(axis=1, initial=0.0)
    if steps.size and steps.max() > refuse_step:
        row = prefix + int(steps.argmax())
        raise ChunkRefused(
            f"{name} row {row} is {steps.max():.2f} rad from the row before it; expected at most {refuse_step} rad"
        )
    return rows
