"""What stands behind the controllers of ros2_control: plug-ins, their parameters, and what can be commanded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class HardwareError(ValueError):
    """Hardware that a description cannot have; the message says which, and what was expected."""


@dataclass(frozen=True)
class Hardware:
    """plugin: of hardware_interface; parameters: the same for all its joints. commands: of an arm's joints.

    has_hands: whether the hands are joints of ros2_control; else they have a driver of their own. has_followers:
    whether joints that follow others are listed too; a system that sends commands by name would send these without one.
    update_rate: Hz of the controllers.
    """

    plugin: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ("position",)
    has_hands: bool = True
    has_followers: bool = True
    update_rate: int = 500


KINDS: Mapping[str, Hardware] = {
    "mock": Hardware("mock_components/GenericSystem", {"calculate_dynamics": "true"}),
    # Zero: each cycle is sent, so that whoever listens late hears where the arms are to be.
    "topic_based": Hardware(
        "topic_based_ros2_control/TopicBasedSystem",
        {"trigger_joint_command_threshold": "0.0"},
        has_followers=False,
        update_rate=100,
    ),
    "franka": Hardware(
        "franka_hardware/FrankaHardwareInterface",
        {"version": "0.1.0", "robot_type": "fr3"},
        ("position", "velocity", "effort"),
        has_hands=False,
        update_rate=1000,
    ),
    "gazebo": Hardware("gz_ros2_control/GazeboSimSystem", commands=("position", "effort")),
}


def hardware_named(name: str) -> Hardware:
    """Raises HardwareError, listing what there is."""
    if name not in KINDS:
        raise HardwareError(f"hardware '{name}' is not known; expected one of {', '.join(KINDS)}")
    return KINDS[name]
