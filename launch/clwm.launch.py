"""The graph of `clwm up` for ROS's launch.

ros2 launch clwm_bringup clwm.launch.py robot:=dual_fr3_mujoco model:=nano task:=lift_tray sai:=fixed:0.5

The nodes configure and activate themselves; with autostart:=false a lifecycle manager, or `ros2 lifecycle`, does it.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from clwm_bringup import graph
from clwm_bringup.access_rights import enclave_arguments
from launch import LaunchContext, LaunchDescription

DEFAULTS = graph.StackOptions()
ARGUMENTS = {
    "robot": (DEFAULTS.robot, "name of a file in config/robots"),
    "model": (DEFAULTS.model, "name of a file in config/models"),
    "task": (DEFAULTS.task, "task of the simulated world's first episode"),
    "seed": (str(DEFAULTS.seed), "its initial state"),
    "sai": (DEFAULTS.sai, graph.SAI_HELP),
    "record": (DEFAULTS.record, "MCAP file of what decides the policy's chunks; empty for none"),
    "follow": (DEFAULTS.follow, graph.FOLLOW_HELP),
    "teleop_poses": (str(DEFAULTS.teleop_poses).lower(), graph.TELEOP_POSES_HELP),
    "autostart": ("true", "configure and activate the nodes at once"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    variables = [SetEnvironmentVariable(name, value) for name, value in graph.environment({}).items()]
    return LaunchDescription([*arguments, *variables, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LifecycleNode]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    autostart, teleop_poses = (chosen.pop(name).lower() in ("true", "1") for name in ("autostart", "teleop_poses"))
    options = graph.StackOptions(**{**chosen, "seed": int(chosen["seed"]), "teleop_poses": teleop_poses})
    return [
        LifecycleNode(
            name=spec.name,
            namespace="",
            package=spec.package,
            executable=spec.executable,
            parameters=[{**spec.parameters, "autostart": autostart}],
            ros_arguments=enclave_arguments(spec.name),
            output="screen",
        )
        for spec in graph.build_graph(options)
    ]
