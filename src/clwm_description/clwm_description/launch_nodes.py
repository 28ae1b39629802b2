"""Processes as nodes of ROS's launch, which only its launch files import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from clwm_description.processes import Process


def node_of(process: Process) -> Node:
    """The action that starts it."""
    return Node(
        package=process.package,
        executable=process.executable,
        name=process.name,
        namespace=process.namespace,
        parameters=[_typed(each) for each in process.parameters],
        arguments=list(process.arguments),
        remappings=list(process.remappings),
        output="screen",
    )


def _typed(parameters: Mapping[str, Any] | str) -> Mapping[str, Any] | str:
    """Texts stay texts: launch would read a URDF as YAML."""
    if isinstance(parameters, str):
        return parameters
    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
