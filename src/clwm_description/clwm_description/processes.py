"""The ROS processes around a described robot, as data: what the launch files start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clwm_common.robot.description import RobotDescription
from clwm_description import controllers
from clwm_description.hardware import HardwareError, hardware_named
from clwm_description.urdf import Choices, robot_urdf
from clwm_sim.cameras import CAMERAS
from clwm_sim.scenes.things import Layout
from clwm_sim.scenes.workcell import SIDES, mesh_directory

WORLD = "clwm"  # what Gazebo's world is called
_MANAGER = "/controller_manager"


@dataclass(frozen=True)
class Process:
    """One of ROS's nodes. parameters: mappings, and paths of parameter files, as launch_ros takes them."""

    package: str
    executable: str
    name: str
    namespace: str = ""
    parameters: tuple[Mapping[str, Any] | str, ...] = ()
    arguments: tuple[str, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ControlOptions:
    """robot: as config/robots describes it. folder: for files that the processes read. robot_ips: left first. task: of
    the simulation that stands behind topics.
    """

    robot: RobotDescription
    folder: Path
    hardware: str = "mock"
    interface: str = "position"
    robot_ips: tuple[str, str] = Choices.robot_ips
    task: str = "lift_tray"


def control_processes(options: ControlOptions) -> list[Process]:
    """Robot state publisher, controller manager and a spawner for each controller, and what stands behind them.

    With Gazebo the controller manager is part of the simulator. Raises HardwareError.
    """
    robot, hardware = options.robot, hardware_named(options.hardware)
    if options.interface not in controllers.INTERFACES or options.interface not in hardware.commands:
        known = [name for name in controllers.INTERFACES if name in hardware.commands]
        text = f"hardware '{options.hardware}' cannot be commanded by '{options.interface}'"
        raise HardwareError(f"{text}; expected {' or '.join(known)}")
    in_gazebo = options.hardware == "gazebo"
    parameters = options.folder / "controllers.yaml"
    parameters.write_text(controllers.controllers_yaml(robot, options.interface, hardware))
    urdf = robot_urdf(robot, Choices(options.hardware, options.robot_ips, mesh_directory().as_uri(), str(parameters)))
    clock = {"use_sim_time": in_gazebo}
    found = [state_publisher(robot, urdf, in_gazebo)]
    if not in_gazebo:
        found.append(Process("controller_manager", "ros2_control_node", "controller_manager", "", (str(parameters),)))
    for name in controllers.names(hardware.has_hands):
        arguments = (name, "--controller-manager", _MANAGER, "--controller-manager-timeout", "60")
        found.append(Process("controller_manager", "spawner", f"spawn_{name}", "", (clock,), arguments))
    if not hardware.has_hands:
        found.extend(_franka_hands(options))
    if options.hardware == "topic_based":
        world = {"robot": robot.name, "task": options.task, "autostart": True}
        found.append(Process("clwm_sim", "sim_node", "sim", "", (world,)))
    return found


def state_publisher(robot: RobotDescription, urdf: str, uses_sim_time: bool = False) -> Process:
    """Makes /robot_description and the transforms of all links, from where the robot's joints are published."""
    name = "robot_state_publisher"
    parameters = {"robot_description": urdf}, {"use_sim_time": uses_sim_time}
    remapped = () if robot.joint_states_topic == "/joint_states" else (("joint_states", robot.joint_states_topic),)
    return Process(name, name, name, "", parameters, remappings=remapped)


def gazebo_processes(layout: Layout, folder: Path) -> list[Process]:
    """What puts the robot into Gazebo's world, and the bridge of clock, pictures and poses of objects to ROS."""
    bridge = folder / "bridge.yaml"
    bridge.write_text(yaml.safe_dump(list(_bridged(layout)), sort_keys=False))
    spawn = ("-world", WORLD, "-topic", "/robot_description", "-name", "robot")
    return [
        Process("ros_gz_sim", "create", "spawn_robot", "", ({"use_sim_time": True},), spawn),
        Process(
            "ros_gz_bridge",
            "parameter_bridge",
            "gazebo_bridge",
            "",
            ({"config_file": str(bridge), "use_sim_time": True},),
        ),
    ]


def _bridged(layout: Layout) -> Iterator[dict[str, str]]:
    topics = [("/clock", "/clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock")]
    for camera in CAMERAS:
        for end, kind in (("image_raw", "Image"), ("camera_info", "CameraInfo")):
            topic = f"/cameras/{camera}/{end}"
            topics.append((topic, topic, f"sensor_msgs/msg/{kind}", f"gz.msgs.{kind}"))
    for name, thing in layout.things.items():
        if thing.present and thing.moves != "placed":
            topics.append(
                (f"/objects/{name}/pose", f"/model/{name}/pose", "geometry_msgs/msg/PoseStamped", "gz.msgs.Pose")
            )
    for ros, gz, ros_type, gz_type in topics:
        yield {
            "ros_topic_name": ros,
            "gz_topic_name": gz,
            "ros_type_name": ros_type,
            "gz_type_name": gz_type,
            "direction": "GZ_TO_ROS",
        }


def _franka_hands(options: ControlOptions) -> Iterator[Process]:
    for side, arm, ip in zip(SIDES, options.robot.arms, options.robot_ips, strict=True):
        first = arm.gripper.finger_joint
        parameters = {"robot_ip": ip, "joint_names": [first, f"{first[:-1]}2"]}
        yield Process("franka_gripper", "franka_gripper_node", "franka_gripper", side, (parameters,))
