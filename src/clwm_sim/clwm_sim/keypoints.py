"""Points of the first tasks' objects and of the hands that an encoder learns to find."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.task_table import BLOCK_HALF, TRAY_HALF
from clwm_sim.shipped_tasks import TableSituation

_CORNERS = {"near_right": (-1, -1), "near_left": (-1, 1), "far_right": (1, -1), "far_left": (1, 1)}
KEYPOINTS: tuple[str, ...] = (
    *(f"tray_{corner}" for corner in _CORNERS),
    "left_handle",
    "right_handle",
    "block",
    *(f"block_{corner}" for corner in _CORNERS),
    "pad",
    "left_tcp",
    "right_tcp",
)
OWNERS = {"left_handle": "tray", "right_handle": "tray"}  # of those whose name does not begin with their object's


def keypoint_array(now: TableSituation) -> NDArray[np.float64]:
    """The key points as (len(KEYPOINTS), 3) in the order of KEYPOINTS; of absent objects they mean nothing."""
    signs = np.array(list(_CORNERS.values()), dtype=np.float64)
    tray = np.column_stack([signs * TRAY_HALF[:2], np.full(4, 2.0 * TRAY_HALF[2])])
    block = np.column_stack([signs * BLOCK_HALF, np.full(4, BLOCK_HALF)])
    return np.concatenate(
        [
            tray @ now.tray_rotation.T + now.tray_position,
            now.handles,
            now.block_position[None],
            block @ now.block_rotation.T + now.block_position,
            now.pad_position[None],
            now.tcp,
        ]
    )
