"""How far two chunks lie apart where it matters: at the tools, as one length."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clwm_common.actions import ACTION_DIM, LEFT_POSITION, LEFT_QUATERNION, RIGHT_POSITION, RIGHT_QUATERNION
from clwm_policy.model.action_codec import ActionCodec

LEVER = 0.005 / math.radians(2.0)  # m: a turn of 2 degrees counts like a shift of 5 mm


def chunk_distance(coded_difference: ArrayLike, codec: ActionCodec) -> NDArray[np.float64]:
    """Largest tool motion [m] over rows and arms of differences (..., rows, 30) between normalised chunks.

    Read from the end-effector channels, so that it needs no robot model. For small turns |dq| is half the angle.
    """
    physical = np.asarray(coded_difference, dtype=np.float64) * codec.chunk.half
    assert physical.shape[-1] == ACTION_DIM, physical.shape
    shifts = [np.linalg.norm(physical[..., part], axis=-1) for part in (LEFT_POSITION, RIGHT_POSITION)]
    turns = [2.0 * np.linalg.norm(physical[..., part], axis=-1) for part in (LEFT_QUATERNION, RIGHT_QUATERNION)]
    return np.max([*shifts, *(LEVER * turn for turn in turns)], axis=0).max(axis=-1)


def pose_distance(poses: ArrayLike, others: ArrayLike) -> float:
    """Largest distance [m] between tool poses (rows, arms, 7), xyz and unit quaternion xyzw, turns by LEVER."""
    poses, others = np.asarray(poses, dtype=np.float64), np.asarray(others, dtype=np.float64)
    shift = np.linalg.norm(poses[..., :3] - others[..., :3], axis=-1)
    # From the chord, not the arc cosine, which loses half the digits of a small angle; q and -q are one rotation.
    chord = np.minimum(
        np.linalg.norm(poses[..., 3:] - others[..., 3:], axis=-1),
        np.linalg.norm(poses[..., 3:] + others[..., 3:], axis=-1),
    )
    turn = 4.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))
    return float(np.maximum(shift, LEVER * turn).max())
