"""`clwm describe publish`: `/robot_description` for whoever comes late, where no robot_state_publisher is installed."""

from __future__ import annotations

from typing import Annotated

import typer
from rclpy.node import Node
from std_msgs.msg import String

from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.session import RosSession
from clwm_common.terminal.console import PlainConsole
from clwm_description.urdf import Choices, robot_urdf
from clwm_sim.scenes.workcell import mesh_directory

TOPIC = "/robot_description"


class DescriptionNode(Node):
    """Publishes a robot's URDF once; DDS keeps it for late joiners."""

    def __init__(self, robot: RobotDescription) -> None:
        super().__init__("robot_description")
        urdf = robot_urdf(robot, Choices(hardware="", meshes=mesh_directory().as_uri()))
        self._output = self.create_publisher(String, TOPIC, qos.LATCHED)
        self._output.publish(String(data=urdf))


def publish(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = "dual_fr3_mujoco",
) -> None:
    """Publish the robot's URDF on /robot_description until Ctrl-C."""
    described = RobotDescription.load(robot)
    with RosSession() as ros:
        ros.add(DescriptionNode(described))
        PlainConsole(highlight=False).print(f"{TOPIC}: {described.name}; Ctrl-C ends it")
        try:
            while True:
                ros.spin_once(timeout_sec=1.0)
        except KeyboardInterrupt:
            return
