"""What every node of the graph may do with topics, services and actions, and nothing beyond: the table of its rights.

A test compares it with what the nodes open when they are configured, so it can be neither too narrow nor too wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clwm_common.enclaves import OPERATOR, enclave_path
from clwm_common.recordings.names import recorded_pictures
from clwm_common.robot.description import RobotDescription

_CLAIMS = "/clwm/claims"  # who has which role
_CLOCK = "/clock"  # of those who use_sim_time
_DEVICES = "/joy", "/leader/joint_states"  # of clwm teleop; a device on another topic is to be remapped to these
_PARAMETERS = (
    "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
    "set_parameters_atomically",
)  # fmt: skip
_LIFECYCLE = (
    "change_state", "get_available_states", "get_available_transitions", "get_state", "get_transition_graph",
)  # fmt: skip


@dataclass(frozen=True)
class Access:
    """The rights of one node; `~` is its own name. serves, calls: services; executes, sends: goals of actions."""

    node: str
    enclave: str
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    executes: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()


def access_table(robot: RobotDescription) -> tuple[Access, ...]:
    """The rights of all nodes, with the topics of this robot."""
    sources = [robot.camera_source(camera) for camera in robot.cameras]
    images, camera_infos = [it.topic for it in sources], [it.info_topic for it in sources]
    needed_infos = [it.info_topic for it in sources if it.rectify]
    seen_from = [it.info_topic for it in sources if it.mounting and it.mounting.parent == "world"]
    controllers = [arm.controller.node for arm in robot.arms]
    grippers = [arm.gripper.command for arm in robot.arms]
    commands = [arm.controller.topic for arm in robot.arms] + [it.name for it in grippers if it.kind == "topic"]
    joints = [source.topic for source in robot.joint_sources()]
    asked = [f"{node}/{service}" for node in controllers for service in ("get_parameters", "list_parameters")]
    seen = ["/clwm/chunk_timeline", "/clwm/mode", "/clwm/task_status", "/clwm_sim/episode", "/diagnostics"]
    compressed = [recorded_pictures(source) for source in sources]
    actions = [f"{it.name}/_action/status" for it in grippers if it.kind == "action"]
    is_franka = robot.driver == "libfranka"
    drivers = [name for name in ("left_arm", "right_arm") if is_franka]
    orders = ["/clwm/set_mode", "/clwm/set_task", "/clwm_sim/reset"]
    return (
        _node_of_the_graph(
            "sim",
            publishes=[
                _CLOCK, "/clwm/verdict", "/clwm_sim/episode", *images, *camera_infos, *([] if is_franka else joints),
            ],
            subscribes=["/clwm/task_status", *([] if is_franka else commands)],
            serves=["/clwm_sim/reset", *(["/clwm_sim/disturb"] if is_franka else [])],
            executes=[it.name for it in grippers if it.kind == "action" and not is_franka],
        ),
        *(_driver_nodes(robot) if is_franka else ()),
        _node_of_the_graph(
            "perception",
            publishes=["/clwm/feature_frame"],
            subscribes=[_CLOCK, "/clwm/observation_request", *images, *needed_infos],
        ),
        _node_of_the_graph(
            "executor",
            publishes=[
                "/clwm/chunk_request", "/clwm/chunk_timeline", "/clwm/mode", "/clwm/state", "/clwm/task_status",
                "/clwm/verdict", *commands,
            ],
            subscribes=[
                _CLOCK, "/clwm/action_chunk", "/clwm/chunk_refusal", "/clwm/driver_status", "/clwm/sai_report",
                "/clwm/teleop",
                "/clwm/verdict", "/clwm_sim/episode", *joints,
            ],
            serves=["/clwm/set_mode", "/clwm/set_task"],
            calls=["/clwm/check_task", *asked],
            executes=["/clwm/run_task"],
            sends=[it.name for it in grippers if it.kind == "action"],
        ),
        _node_of_the_graph(
            "policy",
            publishes=["/clwm/action_chunk", "/clwm/chunk_refusal", "/clwm/observation_request", "/clwm/sai_report"],
            subscribes=[_CLOCK, "/clwm/chunk_request", "/clwm/feature_frame", "/clwm/state"],
            serves=["/clwm/check_task", "/clwm/policy_memory"],
        ),
        _node_of_the_operator(
            "clwm_operator",
            publishes=["/clwm/verdict"],
            subscribes=seen,
            calls=[*orders, *(f"/{name}/recover" for name in drivers)],
            sends=["/clwm/run_task"],
        ),
        _node_of_the_operator(
            "clwm_demo",  # clwm soak reads the joints as well
            publishes=["/clwm/verdict"],
            subscribes=[_CLOCK, *seen, *joints, *images],
            calls=orders,
        ),
        _node_of_the_operator(
            "clwm_recorder",
            subscribes=[
                "/clwm/action_chunk", "/clwm/chunk_refusal", "/clwm/chunk_request", "/clwm/feature_frame",
                "/clwm/sai_report", "/clwm/state", "/clwm/teleop", "/clwm/verdict", "/robot_description", "/rosout",
                *seen, *joints, *images, *compressed, *camera_infos, *commands, *actions,
            ],
            calls=(),
            serves=["/clwm/label_correction"],
        ),
        _node_of_the_operator(
            "clwm_console",
            publishes=["/clwm/teleop", "/clwm/verdict"],
            subscribes=["/clwm/action_chunk", "/clwm/state", "/clwm/verdict", *seen, *images, *seen_from],
            calls=["/clwm/check_task", "/clwm/label_correction", "/clwm/policy_memory", *orders],
        ),
        _node_of_the_operator(
            "clwm_foxglove",
            subscribes=[
                "/clwm/action_chunk", "/clwm/chunk_refusal", "/clwm/chunk_request", "/clwm/sai_report", "/clwm/state",
                "/clwm/teleop", "/clwm/verdict", "/rosout", *seen, *joints, *images, *camera_infos, *commands, *actions,
            ],
            calls=(),
        ),
        _node_of_the_operator("clwm_preflight", subscribes=[_CLOCK, *joints, *images, *camera_infos], calls=asked),
        _node_of_the_operator("clwm_up", subscribes=(), publishes=["/clwm/claims"], calls=()),
        _node_of_the_operator(
            "clwm_teleop",
            publishes=["/clwm/teleop"],
            subscribes=[_CLOCK, "/clwm/mode", "/clwm/state", *_DEVICES],
            calls=["/clwm/set_mode"],
        ),
    )  # fmt: skip


def _driver_nodes(robot: RobotDescription) -> Iterator[Access]:
    """Of arms and hands by libfranka."""
    for side, arm in zip(("left", "right"), robot.arms, strict=True):
        yield _node_of_the_graph(
            f"{side}_arm",
            publishes=["/clwm/driver_status", arm.joint_states_topic],
            subscribes=[arm.controller.topic],
            serves=["~/recover"],
        )
        yield _node_of_the_graph(
            f"{side}_hand",
            publishes=[arm.gripper.joint_states_topic],
            subscribes=(),
            executes=[arm.gripper.command.name],
        )


def _node_of_the_graph(
    name: str,
    publishes: Iterable[str],
    subscribes: Iterable[str],
    serves: Iterable[str] = (),
    calls: Iterable[str] = (),
    executes: Iterable[str] = (),
    sends: Iterable[str] = (),
) -> Access:
    return Access(
        name,
        enclave_path(name),
        publishes=_with(publishes, _CLAIMS, "/diagnostics", "/parameter_events", "/rosout", "~/transition_event"),
        subscribes=_with(subscribes, _CLAIMS),
        serves=_with(serves, *(f"~/{service}" for service in (*_PARAMETERS, *_LIFECYCLE, "get_type_description"))),
        calls=_with(calls),
        executes=_with(executes),
        sends=_with(sends),
    )


def _node_of_the_operator(
    name: str,
    subscribes: Iterable[str],
    calls: Iterable[str],
    publishes: Iterable[str] = (),
    sends: Iterable[str] = (),
    serves: Iterable[str] = (),
) -> Access:
    return Access(
        name,
        enclave_path(OPERATOR),
        publishes=_with(publishes, "/parameter_events", "/rosout"),
        subscribes=_with(subscribes, _CLAIMS),
        serves=_with(serves, *(f"~/{service}" for service in (*_PARAMETERS, "get_type_description"))),
        calls=_with(calls),
        sends=_with(sends),
    )


def _with(names: Iterable[str], *others: str) -> tuple[str, ...]:
    return tuple(sorted({*names, *others}))
