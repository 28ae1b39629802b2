"""The 30-number layout of a two-arm command or state, in one place.

Order (LingBot-VA's, which the paper adopts): left end-effector pose 7, right end-effector pose 7, left joints 7,
right joints 7, left gripper, right gripper. Poses are xyz [m] and a unit quaternion xyzw of the hand's tool centre
point in the `world` frame; joints are in rad; grippers are openings in m. An arm of fewer than seven joints has the
first of its channels; the rest are masked: always zero, whatever is asked of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LAYOUT_VERSION = 1
ARM_JOINTS = 7  # that an arm has room for
ACTION_DIM = 30
CHUNK_ROWS = 16
ROW_DT = 0.05  # s between rows: 20 Hz, so that a chunk spans 0.75 s (not given by the paper)

LEFT_EEF = slice(0, 7)
RIGHT_EEF = slice(7, 14)
POSES = slice(0, 14)
LEFT_JOINTS = slice(14, 21)
RIGHT_JOINTS = slice(21, 28)
JOINTS = slice(14, 28)
GRIPPERS = slice(28, 30)
LEFT_POSITION = slice(0, 3)
RIGHT_POSITION = slice(7, 10)
LEFT_QUATERNION = slice(3, 7)
RIGHT_QUATERNION = slice(10, 14)

CHANNEL_NAMES: tuple[str, ...] = tuple(
    [f"{side}_{axis}" for side in ("left", "right") for axis in ("x", "y", "z", "qx", "qy", "qz", "qw")]
    + [f"{side}_joint{index}" for side in ("left", "right") for index in range(1, 8)]
    + ["left_gripper", "right_gripper"]
)


class LayoutError(ValueError):
    """Rows that are not of the 30-number layout; the message says which rule they break."""


def canonical_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Normalise quaternions (..., 4) xyzw and pick the sign whose largest-magnitude component is positive.

    q and -q are the same rotation; a fixed sign keeps percentiles and regression targets on one sheet.
    Raises LayoutError for a quaternion of (nearly) zero norm.
    """
    q = np.asarray(quaternion, dtype=np.float64)
    norm = np.sqrt((q * q).sum(axis=-1, keepdims=True))
    if (norm < 1e-6).any():
        raise LayoutError(f"quaternion {q.tolist()} has zero norm; expected a unit quaternion xyzw")
    q = q / norm
    flat = q.reshape(-1, 4)
    largest = flat[np.arange(len(flat)), np.abs(flat).argmax(axis=-1)].reshape(norm.shape)
    return np.where(largest < 0.0, -q, q)


def pack(left_eef: ArrayLike, right_eef: ArrayLike, joints: ArrayLike, grippers: ArrayLike) -> NDArray[np.float32]:
    """Build rows (..., 30) from poses (..., 7) each, joints (..., 14) left arm first and openings (..., 2).

    Quaternions are brought to their canonical sign. Raises LayoutError on a wrong width.
    """
    parts = []
    for name, part, width in (
        ("left_eef", left_eef, 7),
        ("right_eef", right_eef, 7),
        ("joints", joints, 14),
        ("grippers", grippers, 2),
    ):
        array = np.asarray(part, dtype=np.float64)
        if array.shape[-1:] != (width,):
            raise LayoutError(f"{name} has shape {array.shape}; expected (..., {width})")
        if width == 7:
            array = np.concatenate([array[..., :3], canonical_quaternion(array[..., 3:])], axis=-1)
        parts.append(array)
    return np.concatenate(parts, axis=-1).astype(np.float32)


def check_rows(rows: ArrayLike, *, name: str = "rows") -> NDArray[np.float32]:
    """Return `rows` as float32 (n, 30); raise LayoutError when the shape is wrong or a number is not finite."""
    array = np.asarray(rows, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != ACTION_DIM:
        raise LayoutError(f"{name} has shape {array.shape}; expected (n, {ACTION_DIM})")
    if not (is_finite := np.isfinite(array)).all():
        row, channel = np.argwhere(~is_finite)[0]
        raise LayoutError(
            f"{name}[{row}] channel {CHANNEL_NAMES[channel]} is {array[row, channel]}; expected finite numbers"
        )
    return array


def check_layout_version(version: int) -> None:
    """Raise LayoutError unless `version` is the one this code speaks."""
    if version != LAYOUT_VERSION:
        raise LayoutError(
            f"layout version {version} received, {LAYOUT_VERSION} expected; run the same release on both sides"
        )
