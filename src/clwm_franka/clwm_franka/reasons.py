"""What a robot's errors mean for who stands beside it."""

from __future__ import annotations

from collections.abc import Iterable

COMMUNICATION = "communication_constraints_violation"
_MEANINGS = {
    "joint_reflex": "a joint met more torque than its collision threshold",
    "cartesian_reflex": "the hand met more force than its collision threshold",
    COMMUNICATION: "commands came too late for 20 ms, or not at all",
    "power_limit_violation": "the arm took more power than it may",
    "tau_j_range_violation": "a joint's torque left its range; is the payload in the robot's file right?",
    "self_collision_avoidance_violation": "the arm would have touched itself",
    "joint_position_limits_violation": "a joint is at the end of its range",
    "cartesian_position_limits_violation": "the hand is at the end of its range",
    "joint_velocity_violation": "a joint was too fast",
    "cartesian_velocity_violation": "the hand was too fast",
    "joint_motion_generator_position_limits_violation": "a command was beyond a joint's range",
    "joint_motion_generator_velocity_limits_violation": "commands were faster than a joint may be",
    "joint_motion_generator_velocity_discontinuity": "the velocity of the commands leapt",
    "joint_motion_generator_acceleration_discontinuity": "the acceleration of the commands leapt",
    "joint_position_motion_generator_start_pose_invalid": "the first command was not where the arm stood",
    "instability_detected": "the arm shook",
}


def explain(errors: Iterable[str], otherwise: str = "") -> str:
    """The robot's errors by name, with what they mean; `otherwise` when it names none."""
    named = [f"{name} ({_MEANINGS[name]})" if name in _MEANINGS else name for name in errors]
    return ", ".join(named) or otherwise
