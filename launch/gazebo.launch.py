"""A scene in Gazebo with both arms behind the real controllers; executor, policy and perception are started beside it.

ros2 launch clwm_bringup gazebo.launch.py scene:=lift_tray seed:=3
./clwm up --robot dual_fr3_ros2_control --sim-time
"""

import tempfile
from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from clwm_common.robot.description import RobotDescription
from clwm_description.launch_nodes import node_of
from clwm_description.processes import WORLD, ControlOptions, control_processes, gazebo_processes
from clwm_description.sdf import scene_sdf
from clwm_sim.world import World
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

ARGUMENTS = {
    "robot": ("dual_fr3_ros2_control", "name of a file in config/robots"),
    "scene": ("lift_tray", "a scene or a task"),
    "seed": ("0", "of the episode whose start it is"),
    "interface": ("position", "what the arms' controllers command: position or effort"),
    "gui": ("true", "show Gazebo's window"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_entities)])


def _entities(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    folder = Path(tempfile.mkdtemp(prefix="clwm_gazebo_"))
    robot = RobotDescription.load(chosen["robot"])
    world = World(chosen["scene"], seed=int(chosen["seed"]), robot=robot)
    scene = folder / "scene.sdf"
    scene.write_text(scene_sdf(world, WORLD))
    options = ControlOptions(robot, folder, "gazebo", chosen["interface"])
    processes = [*gazebo_processes(world.layout, folder), *control_processes(options)]
    flags = "-r" if chosen["gui"].lower() in ("true", "1") else "-r -s"
    gazebo = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    simulator = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(gazebo), launch_arguments={"gz_args": f"{flags} {scene}"}.items()
    )
    # Last, so that all files are there when the simulator, or its absence, is noticed.
    return [*map(node_of, processes), simulator]
