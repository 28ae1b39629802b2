"""The graph of `clwm up` for ROS's launch.

ros2 launch clwm_bringup clwm.launch.py robot:=dual_fr3_mujoco model:=nano task:=lift_tray sai:=fixed:0.5

The nodes configure and activate themselves; with autostart:=false a lifecycle manager, or `ros2 lifecycle`, does it.
One that dies is started again as by `clwm up`. What is exported already stays as it is.
"""

import os
import time
from functools import partial

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import matches_action
from launch.events.process import ProcessExited, ProcessStarted, ShutdownProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from clwm_bringup import graph
from clwm_bringup.restarts import FIRST_DELAY, GiveUp, Restarts
from clwm_bringup.supervisor import GRACE
from clwm_common import ros_environment
from clwm_common.enclaves import enclave_arguments
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

DEFAULTS = graph.StackOptions()
TRUE = ("true", "1")
ARGUMENTS = {
    "robot": (DEFAULTS.robot, "name of a file in config/robots"),
    "model": (DEFAULTS.model, "name of a file in config/models"),
    "task": (DEFAULTS.task, "task of the simulated world's first episode"),
    "seed": (str(DEFAULTS.seed), "its initial state"),
    "sai": (DEFAULTS.sai, graph.SAI_HELP),
    "record": (DEFAULTS.record, "MCAP file of what decides the policy's chunks; empty for none"),
    "follow": (DEFAULTS.follow, graph.FOLLOW_HELP),
    "rate": (str(DEFAULTS.rate), graph.RATE_HELP),
    "teleop_poses": (str(DEFAULTS.teleop_poses).lower(), graph.TELEOP_POSES_HELP),
    "sim_time": (str(DEFAULTS.sim_time).lower(), graph.SIM_TIME_HELP),
    "autostart": ("true", "configure and activate the nodes at once"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    wanted = graph.environment()
    notes = [LogInfo(msg=note) for note in ros_environment.prepare(wanted)]
    variables = [SetEnvironmentVariable(name, value) for name, value in wanted.items() if os.environ.get(name) != value]
    return LaunchDescription([*arguments, *notes, *variables, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    autostart = chosen.pop("autostart").lower() in TRUE
    flags = {name: chosen[name].lower() in TRUE for name in ("teleop_poses", "sim_time")}
    options = graph.StackOptions(**{**chosen, **flags, "seed": int(chosen["seed"]), "rate": float(chosen["rate"])})
    # launch waits as long after every death.
    restarts = Restarts(longest_delay=FIRST_DELAY)
    return [entity for spec in graph.build_graph(options) for entity in _kept_alive(spec, autostart, restarts)]


def _kept_alive(spec: graph.NodeSpec, autostart: bool, restarts: Restarts) -> list[LaunchDescriptionEntity]:
    node = LifecycleNode(
        name=spec.name,
        namespace="",
        package=spec.package,
        executable=spec.executable,
        parameters=[{**spec.parameters, "autostart": autostart}],
        ros_arguments=enclave_arguments(spec.name),
        output="screen",
        respawn=True,
        respawn_delay=FIRST_DELAY,
        sigterm_timeout=str(GRACE),
    )

    def on_start(event: ProcessStarted, context: LaunchContext) -> None:
        restarts.started(spec.name, time.monotonic())

    handlers = (
        OnProcessStart(target_action=node, on_start=on_start),
        OnProcessExit(target_action=node, on_exit=partial(_on_exit, spec.name, node, restarts)),
    )
    return [*map(RegisterEventHandler, handlers), node]


def _on_exit(
    name: str, node: LifecycleNode, restarts: Restarts, event: ProcessExited, context: LaunchContext
) -> list[LaunchDescriptionEntity]:
    if context.is_shutdown:
        return []
    decision = restarts.died(name, event.returncode, time.monotonic())
    entities = [LogInfo(msg=decision.reason)]
    if isinstance(decision, GiveUp):
        # Within the delay this takes launch's intention back to start it again.
        entities.append(EmitEvent(event=ShutdownProcess(process_matcher=matches_action(node))))
    return entities
