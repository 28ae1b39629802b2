"""Both arms and hands behind the real controllers of ros2_control; executor, policy and cameras are started beside it.

ros2 launch clwm_bringup ros2_control.launch.py hardware:=mock        # mock, topic_based or franka
./clwm up --robot dual_fr3_ros2_control
"""

import tempfile
from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from clwm_common.robot.description import RobotDescription
from clwm_description.hardware import HardwareError
from clwm_description.launch_nodes import node_of
from clwm_description.processes import ControlOptions, control_processes
from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "robot": ("", "name of a file in config/robots; empty for the one that fits the hardware"),
    "hardware": ("mock", "mock, topic_based or franka; for Gazebo there is gazebo.launch.py"),
    "interface": ("position", "what the arms' controllers command: position or effort"),
    "task": (ControlOptions.task, "a scene or a task of the simulation, for hardware:=topic_based"),
    "left_ip": (ControlOptions.robot_ips[0], "address of the left arm, for hardware:=franka"),
    "right_ip": (ControlOptions.robot_ips[1], "address of the right arm, for hardware:=franka"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    hardware = chosen["hardware"]
    if hardware == "gazebo":
        raise HardwareError("hardware 'gazebo' is part of a simulator; launch gazebo.launch.py, which starts both")
    fitting = "dual_fr3_ros2_control_franka" if hardware == "franka" else "dual_fr3_ros2_control"
    options = ControlOptions(
        RobotDescription.load(chosen["robot"] or fitting),
        Path(tempfile.mkdtemp(prefix="clwm_ros2_control_")),
        hardware,
        chosen["interface"],
        (chosen["left_ip"], chosen["right_ip"]),
        chosen["task"],
    )
    return [node_of(process) for process in control_processes(options)]
