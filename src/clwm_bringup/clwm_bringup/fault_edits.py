"""How the fault relay changes a message. Each edit takes a ROS message, changes it in place and returns it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

CLOCK_STEP = 1.0  # s by which the robot's clock is set


def nan_position(joint_state: Any) -> Any:
    """A JointState whose first position is no number."""
    joint_state.position[0] = math.nan
    return joint_state


def without_first_joint(joint_state: Any) -> Any:
    """A JointState that lacks its first joint."""
    for field in ("name", "position", "velocity", "effort"):
        setattr(joint_state, field, list(getattr(joint_state, field))[1:])
    return joint_state


def stamped_back(message: Any) -> Any:
    """Any stamped message of a machine whose clock was set back by CLOCK_STEP."""
    message.header.stamp.sec -= round(CLOCK_STEP)
    return message


def stamped_forward(message: Any) -> Any:
    """Any stamped message of a machine whose clock was set forward by CLOCK_STEP."""
    message.header.stamp.sec += round(CLOCK_STEP)
    return message


def of_the_epoch_before(chunk: Any) -> Any:
    """An ActionChunk for the task before this one."""
    chunk.task_epoch -= 1
    return chunk


def of_another_layout(chunk: Any) -> Any:
    """An ActionChunk of another release, whose numbers mean something else."""
    chunk.layout_version += 1
    return chunk


def nan_row(chunk: Any) -> Any:
    """An ActionChunk with a number that is none, after the rows that repeat the committed ones."""
    chunk.rows[-1] = math.nan
    return chunk


EDITS: Mapping[str, Callable[[Any], Any]] = {
    function.__name__: function
    for function in (
        nan_position, without_first_joint, stamped_back, stamped_forward, of_the_epoch_before, of_another_layout,
        nan_row,
    )
}  # fmt: skip
