"""What launch/clwm.launch.py uses of ROS's `launch` and `launch_ros`, for machines without; a test pins it to them."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAMES: Mapping[str, tuple[str, ...]] = {
    "launch": ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"),
    "launch.actions": (
        "DeclareLaunchArgument",
        "EmitEvent",
        "LogInfo",
        "OpaqueFunction",
        "RegisterEventHandler",
        "SetEnvironmentVariable",
    ),
    "launch.event_handlers": ("OnProcessExit", "OnProcessStart"),
    "launch.events": ("matches_action",),
    "launch.events.process": ("ProcessExited", "ProcessStarted", "ShutdownProcess"),
    "launch.substitutions": ("LaunchConfiguration",),
    "launch_ros": (),
    "launch_ros.actions": ("LifecycleNode",),
}


class LaunchDescriptionEntity:
    """Everything that a description holds."""


@dataclass
class LaunchContext:
    launch_configurations: dict[str, str] = field(default_factory=dict)
    is_shutdown: bool = False


@dataclass
class LaunchDescription:
    entities: list[Any]


@dataclass
class DeclareLaunchArgument(LaunchDescriptionEntity):
    name: str
    default_value: str
    description: str


@dataclass
class EmitEvent(LaunchDescriptionEntity):
    event: Any


@dataclass
class LogInfo(LaunchDescriptionEntity):
    msg: str


@dataclass
class OpaqueFunction(LaunchDescriptionEntity):
    function: Any


@dataclass
class RegisterEventHandler(LaunchDescriptionEntity):
    event_handler: Any


@dataclass
class SetEnvironmentVariable(LaunchDescriptionEntity):
    name: str
    value: str


@dataclass
class OnProcessExit:
    target_action: Any
    on_exit: Any


@dataclass
class OnProcessStart:
    target_action: Any
    on_start: Any


def matches_action(target_action: Any) -> Any:
    return lambda action: action is target_action


class ProcessStarted:
    """Only its type is used."""


@dataclass
class ProcessExited:
    returncode: int


@dataclass
class ShutdownProcess:
    process_matcher: Any


@dataclass
class LaunchConfiguration:
    variable_name: str

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.variable_name]


@dataclass(eq=False)
class LifecycleNode(LaunchDescriptionEntity):
    name: str
    namespace: str
    package: str
    executable: str
    parameters: list[dict[str, Any]]
    ros_arguments: list[str]
    output: str
    respawn: bool
    respawn_delay: float
    sigterm_timeout: str


def is_real() -> bool:
    """Whether ROS's own packages are installed; the folder launch/ of a checkout is a package of that name, too."""
    try:
        return importlib.util.find_spec("launch_ros.actions") is not None
    except ModuleNotFoundError:
        return False


def modules() -> dict[str, types.ModuleType]:
    """The stand-in as modules, by the names of the real ones."""
    made = {name: types.ModuleType(name) for name in (*NAMES, "launch.events")}
    for name, members in NAMES.items():
        for member in members:
            setattr(made[name], member, getattr(sys.modules[__name__], member))
    return made
