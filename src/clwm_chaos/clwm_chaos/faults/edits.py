"""How the fault relay changes a message. Each edit takes a ROS message, changes it in place and returns it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from clwm_common.ros.conversions import from_stamp, to_stamp

CLOCK_STEP = 1.0  # s by which the robot's clock is set
CLOCK_LEAP = 5  # s by which /clock leaps
AHEAD, BEHIND = 0.09, 0.4  # s by which a camera's clock is off


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


def nan_velocities(joint_state: Any) -> Any:
    """A JointState of a broadcaster whose hardware gives no velocities."""
    joint_state.velocity = [math.nan] * len(joint_state.velocity)
    return joint_state


def stamped_zero(message: Any) -> Any:
    """Any stamped message of a driver that does not stamp."""
    message.header.stamp = to_stamp(0.0)
    return message


def stamped_ahead(message: Any) -> Any:
    """Any stamped message of a machine whose clock is a little ahead: what it claims to be newer is old."""
    return _moved(message, AHEAD)


def stamped_behind(message: Any) -> Any:
    """Any stamped message of a machine whose clock is a little behind."""
    return _moved(message, -BEHIND)


def _moved(message: Any, seconds: float) -> Any:
    message.header.stamp = to_stamp(from_stamp(message.header.stamp) + seconds)
    return message


def clock_ahead(clock: Any) -> Any:
    """A Clock of a simulation that was set forward by CLOCK_LEAP."""
    clock.clock.sec += CLOCK_LEAP
    return clock


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
        nan_row, nan_velocities, stamped_zero, stamped_ahead, stamped_behind, clock_ahead,
    )
}  # fmt: skip
