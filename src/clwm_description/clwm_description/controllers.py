"""The controllers of ros2_control for a robot of config/robots, as the parameters of its controller manager."""

from __future__ import annotations

from typing import Any

import yaml

from clwm_common.robot.description import Arm, RobotDescription
from clwm_description.hardware import Hardware
from clwm_sim.scenes.workcell import SIDES

# Joint impedances of franka_ros2's own trajectory controller: p in Nm/rad, d in Nms/rad, by joint.
GAINS = ((600.0, 30.0),) * 4 + ((250.0, 10.0), (150.0, 10.0), (50.0, 5.0))
INTERFACES = ("position", "effort")
GOAL_TOLERANCE = 0.002  # m from which on a hand has reached its goal
STANDS = 0.005, 0.3  # m/s and s: a finger that is slower for so long holds something
BROADCASTER = "joint_state_broadcaster"


def names(has_hands: bool) -> list[str]:
    """Of all controllers, in the order in which they are started."""
    arms, hands = ([f"{side}_{part}_controller" for side in SIDES] for part in ("arm", "gripper"))
    return [BROADCASTER, *arms, *(hands if has_hands else [])]


def controllers_yaml(robot: RobotDescription, interface: str, hardware: Hardware) -> str:
    """The parameter file. interface: what the arms' controllers command, of INTERFACES."""
    types = {
        BROADCASTER: "joint_state_broadcaster/JointStateBroadcaster",
        "arm": "joint_trajectory_controller/JointTrajectoryController",
        "gripper": "parallel_gripper_action_controller/GripperActionController",
    }
    manager: dict[str, Any] = {"update_rate": hardware.update_rate}
    # A late cycle is not made up for by several at once: the trajectory's time would run ahead of the arms.
    manager["overruns"] = {"manage": False, "print_warnings": True}
    sections: dict[str, Any] = {"controller_manager": manager}
    for name in names(hardware.has_hands):
        kind = name if name == BROADCASTER else name.split("_")[1]
        manager[name] = {"type": types[kind]}
        if kind == BROADCASTER:
            sections[name] = {"update_rate": 100}  # Hz; more would only cost the executor time
        else:
            arm = robot.arms[SIDES.index(name.split("_")[0])]
            sections[name] = _arm(arm, interface) if kind == "arm" else _gripper(arm)
    text = yaml.safe_dump({name: {"ros__parameters": values} for name, values in sections.items()}, sort_keys=False)
    return f"# Made by `clwm describe robot`; a test compares it with what that writes now.\n{text}"


def _arm(arm: Arm, interface: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "joints": list(arm.joint_names),
        "command_interfaces": [interface],
        "state_interfaces": ["position", "velocity"],
        "allow_partial_joints_goal": False,
        "interpolation_method": "splines",
        "allow_nonzero_velocity_at_trajectory_end": False,
    }
    if interface == "effort":
        gains = zip(arm.joint_names, GAINS, strict=True)
        parameters["gains"] = {name: {"p": p, "i": 0.0, "d": d, "i_clamp": 1.0} for name, (p, d) in gains}
    return parameters


def _gripper(arm: Arm) -> dict[str, Any]:
    slow, after = STANDS
    return {
        "joint": arm.gripper.finger_joint,
        "goal_tolerance": GOAL_TOLERANCE,
        "allow_stalling": True,
        "stall_velocity_threshold": slow,
        "stall_timeout": after,
    }
