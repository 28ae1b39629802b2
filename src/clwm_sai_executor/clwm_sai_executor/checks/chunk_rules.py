"""The rules that a chunk passes before it may become motion, each pure and on its own; `chunk_check.py` has the order.

Grossly outside a rule: ChunkRefused, whose message is the reason that is latched. Slightly outside: the value is
brought inside and counted. Too old to act upon: ChunkStale; the chunk is dropped and another one asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import (
    ACTION_DIM,
    CHUNK_ROWS,
    JOINTS,
    LAYOUT_VERSION,
    LayoutError,
    check_rows,
)
from clwm_common.messages import ActionChunk
from clwm_sai_executor.events import SIDES

Array = NDArray[np.float64]

_NORM_NOTED = 0.01  # quaternions of another length than 1 by more than this are counted
_NORM_GROSS = (0.5, 2.0)


class ChunkRefused(ValueError):
    """A chunk that must not move the arms; the message is the reason that is latched."""


class ChunkStale(ValueError):
    """A chunk that answers to the wrong instant; the message says by how much."""


def require_layout(version: int, name: str) -> None:
    """The 30 numbers mean what this release takes them for."""
    if version != LAYOUT_VERSION:
        raise ChunkRefused(
            f"{name} has layout version {version}, {LAYOUT_VERSION} expected; "
            "run the same release of the policy and the executor"
        )


def require_shape(rows: NDArray[np.float32], name: str) -> None:
    """A chunk has 16 rows of 30 numbers."""
    if np.shape(rows) != (CHUNK_ROWS, ACTION_DIM):
        raise ChunkRefused(f"{name} has rows of shape {np.shape(rows)}; expected ({CHUNK_ROWS}, {ACTION_DIM})")


def require_finite(rows: NDArray[np.float32], name: str) -> Array:
    """No number of a chunk (16, 30) is NaN or infinite. Returns it in double precision."""
    try:
        return check_rows(rows, name=name).astype(np.float64)
    except LayoutError as error:
        raise ChunkRefused(f"{error}; look at the policy's inputs and checkpoint") from None


def require_row_time(dt: float, expected: float, name: str) -> None:
    """The rows are as far apart in time as the executor's."""
    if abs(dt - expected) > 1e-6:
        raise ChunkRefused(f"{name} has {dt} s between rows; expected {expected} s")


def require_fresh(chunk: ActionChunk, observe_at: float, now: float, oldest: float) -> None:
    """The observation is at most `oldest` s older than the instant asked for, and not from the future.

    A chunk that names no observation passes. Raises ChunkStale.
    """
    stamp = chunk.observation_stamp
    if stamp == 0.0:
        return
    if observe_at - stamp > oldest:
        raise ChunkStale(
            f"chunk {chunk.chunk_id} answers to pictures {observe_at - stamp:.2f} s older than those asked for; "
            f"expected at most {oldest} s. Are the cameras alive?"
        )
    if stamp > now + oldest:
        text = f"chunk {chunk.chunk_id} answers to pictures from {stamp - now:.2f} s in the future"
        raise ChunkStale(f"{text}; compare the machines' clocks.")


def require_prefix(rows: Array, prefix_rows: int, committed: NDArray[np.float32], tolerance: float, name: str) -> None:
    """The first rows repeat the committed ones (p, 30), joints within `tolerance` rad."""
    prefix = len(committed)
    if prefix_rows != prefix:
        raise ChunkRefused(f"{name} repeats {prefix_rows} committed rows; {prefix} were committed")
    gap = float(np.abs(rows[:prefix, JOINTS] - committed[:, JOINTS]).max())
    if gap > tolerance:
        raise ChunkRefused(f"{name} starts {gap:.4f} rad from the committed rows; expected at most {tolerance} rad")


def normalise_quaternions(poses: Array, name: str) -> tuple[Array, int]:
    """Poses (..., 7) with unit quaternions, and how many were noticeably not. Raises ChunkRefused for no rotation."""
    norm = np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
    low, high = _NORM_GROSS
    if norm.min() < low or norm.max() > high:
        worst = norm.min() if norm.min() < low else norm.max()
        raise ChunkRefused(f"{name} has a quaternion of length {worst:.3f}; expected 1, within {low} to {high}")
    count = int(np.count_nonzero(np.abs(norm - 1.0) > _NORM_NOTED))
    return np.concatenate([poses[..., :3], poses[..., 3:] / norm], axis=-1), count


def count_missed_poses(
    residuals: Array, tolerance: tuple[float, float], gross: tuple[float, float], first_row: int, name: str
) -> int:
    """How many of the poses that rows ask for are missed by more than `tolerance` [m, rad].

    residuals: (n, 2, 2) m and rad by which the arms miss them at best, left arm first. Beyond `gross` [m, rad]:
    ChunkRefused. first_row: the chunk's number of the first of the rows, for the message.
    """
    is_gross = (residuals > gross).any(axis=2)
    if is_gross.any():
        row, arm = np.argwhere(is_gross)[0]
        metres, radians = residuals[row, arm]
        raise ChunkRefused(
            f"{name} row {first_row + row}: the {SIDES[arm]} arm gets no nearer than {metres:.3f} m and "
            f"{np.degrees(radians):.1f} deg to its pose; expected at most {gross[0]} m and {np.degrees(gross[1]):.1f} "
            "deg. Is it out of reach, or too far from the row before it?"
        )
    return int(np.count_nonzero((residuals > tolerance).any(axis=2)))


def require_pose_steps(before: Array, after: Array, largest: tuple[float, float], name: str) -> None:
    """No pose of `after` (n, 7) is more than `largest` [m, rad] from that of `before` (n, 7)."""
    moved = np.linalg.norm(after[:, :3] - before[:, :3], axis=1).max()
    # q and -q are the same rotation.
    cosine = np.abs((after[:, 3:] * before[:, 3:]).sum(axis=1)).min()
    turned = 2.0 * np.arccos(min(cosine, 1.0))
    if moved > largest[0] or turned > largest[1]:
        raise ChunkRefused(
            f"{name} is {moved:.3f} m and {np.degrees(turned):.1f} deg from the arm or the pose before it; "
            f"expected at most {largest[0]} m and {np.degrees(largest[1]):.1f} deg"
        )


def require_steps(joints: Array, largest: float, first_row: int, name: str) -> None:
    """No joint moves more than `largest` rad from one of the rows `joints` (n, 14) to the next.

    first_row: the chunk's number of the second of them, for the message.
    """
    steps = np.abs(np.diff(joints, axis=0)).max(axis=1, initial=0.0)
    if steps.size and steps.max() > largest:
        row = first_row + int(steps.argmax())
        raise ChunkRefused(
            f"{name} row {row} is {steps.max():.2f} rad from the row before it; expected at most {largest} rad"
        )


def limit_jerk(joints: Array, limit: Array, gross: float, dt: float, name: str) -> int:
    """How many third differences of rows `joints` (n, 14) exceed the jerk limit (14,) rad/s^3.

    The path follows such rows only as far as the acceleration limit allows. Beyond `gross` times it: ChunkRefused.
    """
    if len(joints) < 4:
        return 0
    share = np.abs(np.diff(joints, n=3, axis=0)) / (dt**3 * limit)
    if share.max() > gross:
        joint = int(share.max(axis=0).argmax())
        raise ChunkRefused(
            f"{name} jerks joint {joint} at {share.max() * limit[joint]:.0f} rad/s^3; expected at most {gross:g} "
            f"times the limit of {limit[joint]:.0f} rad/s^3"
        )
    return int(np.count_nonzero(share > 1.0))


def clamp_openings(openings: Array, lowest: Array, highest: Array, gross: float, name: str) -> tuple[Array, int]:
    """Openings (n, 2) [m] within the grippers' ranges (2,), and how many were not; ChunkRefused `gross` m outside."""
    excess = np.maximum(lowest - openings, openings - highest)
    if excess.size and excess.max() > gross:
        raise ChunkRefused(
            f"{name} opens a gripper {excess.max():.3f} m beyond its range; at most {gross} m expected; in metres?"
        )
    return np.clip(openings, lowest, highest), int(np.count_nonzero(excess > 0.0))
