"""A situation one row time ahead if nothing unexpected happens: kinematics only, far cheaper than physics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, ROW_DT
from clwm_sim.scenes.task_table import BLOCK_HALF, HANDLE_HALF
from clwm_sim.shipped_tasks import TableSituation

GRIP_STEP = 0.1 * ROW_DT  # m of opening per row time
BETWEEN_FINGERS = 0.03  # m from grasp point to tool centre point
TOUCHES = 0.004  # m between opening and object from which on it is held


def next_situation(now: TableSituation, row: NDArray, tcp: NDArray) -> TableSituation:
    """One row time after `now`, while row (30,) is in force and takes the tool centre points to tcp (2, 3).

    Hands track perfectly, grippers move at their speed, what is held moves along, what is let go settles.
    """
    handle, block = 2.0 * HANDLE_HALF[1], 2.0 * BLOCK_HALF
    around_handle = np.linalg.norm(now.handles - now.tcp, axis=1) < BETWEEN_FINGERS
    around_block = np.linalg.norm(now.block_position - now.tcp, axis=1) < BETWEEN_FINGERS
    least = np.where(around_handle, handle, np.where(around_block, block, 0.0))
    told = np.asarray(row[GRIPPERS], dtype=np.float64)
    widths = np.maximum(now.widths + np.clip(told - now.widths, -GRIP_STEP, GRIP_STEP), least)
    moved = tcp - now.tcp
    lifted = moved.mean(axis=0) if np.all(around_handle & (widths < handle + TOUCHES)) else np.zeros(3)
    holding = around_block & (widths < block + TOUCHES)
    block_position = now.block_position + (moved[holding][0] if holding.any() else 0.0)
    if not holding.any() and around_block.any():
        block_position[2] = min(block_position[2], BLOCK_HALF)
    return replace(
        now,
        tray_position=now.tray_position + lifted,
        handles=now.handles + lifted,
        block_position=block_position,
        tcp=tcp,
        widths=widths,
    )
