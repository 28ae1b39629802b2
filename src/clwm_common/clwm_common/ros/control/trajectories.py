"""Trajectory messages as the controller's core takes them."""

from __future__ import annotations

from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from clwm_common.control.trajectory import JointTrajectory, TrajectoryPoint
from clwm_common.ros.conversions import from_stamp

TRAJECTORY_BYTES = 262144  # about a thousand points of seven joints


def joint_trajectory(message: JointTrajectoryMessage) -> JointTrajectory:
    """The core form of a trajectory message, unchecked: checking is the controller's."""
    points = tuple(
        TrajectoryPoint(from_stamp(p.time_from_start), p.positions, p.velocities, p.accelerations, p.effort)
        for p in message.points
    )
    return JointTrajectory(tuple(message.joint_names), points, from_stamp(message.header.stamp))
