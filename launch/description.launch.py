"""The robot's description and all transforms of it, beside a running stack that has no ros2_control.

ros2 launch clwm_bringup description.launch.py robot:=dual_fr3_mujoco
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from clwm_common.robot.description import RobotDescription
from clwm_description.launch_nodes import node_of
from clwm_description.processes import state_publisher
from clwm_description.urdf import Choices, robot_urdf
from clwm_sim.scenes.workcell import mesh_directory
from launch import LaunchContext, LaunchDescription


def generate_launch_description() -> LaunchDescription:
    argument = DeclareLaunchArgument(
        "robot", default_value="dual_fr3_mujoco", description="name of a file in config/robots"
    )
    return LaunchDescription([argument, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    robot = RobotDescription.load(LaunchConfiguration("robot").perform(context))
    urdf = robot_urdf(robot, Choices(hardware="", meshes=mesh_directory().as_uri()))
    return [node_of(state_publisher(robot, urdf))]
