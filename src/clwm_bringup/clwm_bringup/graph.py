"""The node graph in one place: the processes and their parameters. `clwm up` and the launch file are built from it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clwm_bringup.model_check import check_model
from clwm_common.enclaves import enclave_arguments
from clwm_common.files.config_files import ConfigFileError, nearest, read_yaml
from clwm_common.files.model_files import ModelFiles, project_root
from clwm_common.files.policy_document import CheckpointError
from clwm_common.robot.description import RobotDescription, config_directory
from clwm_common.ros_environment import PROFILE_VARIABLES
from clwm_perception.checkpoint import EncoderCheckpoint
from clwm_policy.engine.re_entry import ReEntryError, parse_re_entry

NO_MODEL = "none"  # the name of a model that leaves the arms to people
MODEL_HELP = f"name of a file in config/models; {NO_MODEL}: no policy and no perception, people steer the arms"
SAI_HELP = "re-entry policy: sequential, fixed:<s_mid> or adaptive; empty takes the model's"
FOLLOW_HELP = "channels of the chunks that move the arms: joints, or poses by inverse kinematics"
SIM_TIME_HELP = "all nodes live by /clock, which a simulated world makes"
TELEOP_POSES_HELP = "let a human ask for poses of the tools, not only for joints"
# First the executor, which brings the arms to rest while they still listen and asks for no more chunks; then those that
# make chunks; then the arms' drivers, which let go of them; then the rest.
STOP_ORDER = (("executor",), ("policy", "perception"), ("left_arm", "right_arm", "left_hand", "right_hand"))
RATE_HELP = "simulated time per real time, at most: all nodes live by /clock; 0: real time"
PATIENCE = 0.25  # s for which a world with a clock of its own waits for a late command

_PACKAGES = {
    "sim": "clwm_sim",
    "perception": "clwm_perception",
    "executor": "clwm_sai_executor",
    "policy": "clwm_policy",
}
_DRIVERS = {f"{side}_{part}": (side, part) for side in ("left", "right") for part in ("arm", "hand")}  # of libfranka


class GraphError(ValueError):
    """A graph that cannot be built; the message names the file or the field, and what was expected."""


@dataclass(frozen=True)
class NodeSpec:
    """One process: `python -m module` or, by ROS's names, `package executable`, with its parameters.

    remappings: topics by the names that the node knows them by, and what they are called instead.
    """

    name: str
    package: str
    executable: str
    module: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)

    def command(self, python: str = sys.executable) -> list[str]:
        """The command line. Values are written as JSON, which ROS's YAML parser reads with the types they have."""
        arguments = [f"{name}:={json.dumps(value)}" for name, value in self.parameters.items()]
        parameters = [word for argument in arguments for word in ("-p", argument)]
        rules = [f"__node:={self.name}", *(f"{topic}:={other}" for topic, other in self.remappings.items())]
        remappings = [word for rule in rules for word in ("-r", rule)]
        return [python, "-m", self.module, "--ros-args", *enclave_arguments(self.name), *remappings, *parameters]


@dataclass(frozen=True)
class CommandSpec:
    """One process beside the graph: another command of `clwm`."""

    name: str
    words: tuple[str, ...]

    def command(self, python: str = sys.executable) -> list[str]:
        """The command line."""
        return [python, "-m", "clwm_bringup", *self.words]


@dataclass(frozen=True)
class StackOptions:
    """What a user chooses. sai: empty for the model's own; untrained_seed: -1 for trained weights.

    record: MCAP file for what decides the policy's chunks; empty for none. follow: which channels of the chunks move
    the arms. teleop_poses: whether a human may ask for poses, not only joints. backends: what may run the model, the
    first that can is used; empty for the model's own. sim_time: whether nodes live by /clock. rate: times real time at
    which a simulated world makes that; 0: 1 with sim_time, else the machine's own.
    """

    robot: str = "dual_fr3_mujoco"
    model: str = "nano"
    task: str = "lift_tray"
    seed: int = 0
    sai: str = ""
    untrained_seed: int = -1
    record: str = ""
    follow: str = "joints"
    teleop_poses: bool = False
    backends: tuple[str, ...] = ()
    sim_time: bool = False
    rate: float = 0.0

    @property
    def lives_by_clock(self) -> bool:
        """Whether the nodes have use_sim_time."""
        return self.sim_time or self.rate > 0.0

    @property
    def pace(self) -> float:
        """Times real time at which a simulated world makes the time; 0 where it follows the machine's."""
        return self.rate or float(self.sim_time)


def build_graph(options: StackOptions) -> tuple[NodeSpec, ...]:
    """The processes in starting order: the simulation where there is one, drivers of libfranka, and three more.

    Raises GraphError, RobotError or ModelFilesError, naming what is wrong.
    """
    robot = RobotDescription.load(options.robot)
    if options.rate and not robot.is_simulated:
        raise GraphError(
            f"robot '{robot.name}' is not simulated, and lives by real time or, with --sim-time, by the pace of a "
            "simulator of its own; leave out the rate"
        )
    fixed = _settings()
    parameters: dict[str, dict[str, Any]] = {
        "sim": {
            "robot": options.robot,
            "task": options.task,
            "seed": options.seed,
            "rate": options.pace,
            "patience": PATIENCE if options.lives_by_clock else 0.0,
        },
        "executor": {"robot": options.robot, "follow": options.follow, "teleop_poses": options.teleop_poses},
    }
    if options.model != NO_MODEL:
        of_model = _model_parameters(options, robot)
        parameters["executor"] |= of_model.pop("executor")
        parameters |= of_model
    clock = {"use_sim_time": True} if options.lives_by_clock else {}
    specs = [
        NodeSpec(
            name=name,
            package=package,
            executable=f"{name}_node",
            module=f"{package}.node",
            parameters={**fixed[name], **parameters[name], **(clock if name != "sim" else {})},
        )
        for name, package in _PACKAGES.items()
        if name in parameters and (name != "sim" or robot.is_simulated)
    ]
    place = 1 if robot.is_simulated else 0
    specs[place:place] = _drivers(options.robot, clock) if robot.driver == "libfranka" else ()
    return tuple(specs)


def _model_parameters(options: StackOptions, robot: RobotDescription) -> dict[str, dict[str, Any]]:
    """What perception, executor and policy are told of a model. Raises GraphError or ModelFilesError."""
    model = ModelFiles.load(options.model)
    model.require_files()
    try:
        parse_re_entry(options.sai or model.sai)
    except ReEntryError as error:
        raise GraphError(str(error)) from None
    encoder = fitting_encoder(model, robot)
    return {
        "perception": {"robot": options.robot, "encoder": str(model.encoder)},
        "executor": {"policy_document": str(model.policy.with_suffix(".json"))},
        "policy": {
            "checkpoint": str(model.policy),
            "encoder_hash": encoder.weights_hash,
            "sai": options.sai or model.sai,
            "backends": list(options.backends or model.backends),
            "video_steps": model.video_steps,
            "action_steps": model.action_steps,
            "untrained_seed": options.untrained_seed,
            "record": options.record,
        },
    }


def _drivers(robot: str, clock: Mapping[str, Any]) -> Iterator[NodeSpec]:
    """A process for every arm and hand."""
    for name, (side, part) in _DRIVERS.items():
        parameters = {"robot": robot, "arm": side, **clock}
        yield NodeSpec(name, "clwm_franka", f"{part}_node", f"clwm_franka.{part}_node", parameters)


def fitting_encoder(model: ModelFiles, robot: RobotDescription) -> EncoderCheckpoint:
    """The model's encoder, when the model fits the robot and stack.yaml. Raises GraphError, saying what does not."""
    fixed = _settings()
    side = fixed["sim"].get("image_size")
    is_known = robot.is_simulated and side is not None
    try:
        return check_model(
            model.policy,
            model.encoder,
            robot,
            picture_size=(side, side) if is_known else None,
            perception=fixed["perception"],
            executor=fixed["executor"],
        )
    except CheckpointError as error:
        raise GraphError(f"robot '{robot.name}' and the model do not fit: {error}") from None


def fixed_parameters(node: str) -> dict[str, Any]:
    """What config/stack.yaml gives this node. Raises GraphError."""
    return _settings()[node]


def simulated_robot(name: str) -> RobotDescription:
    """A robot on which anything may be tried. Raises GraphError for one that may be real."""
    robot = RobotDescription.load(name)
    if not robot.is_simulated:
        raise GraphError(
            f"robot '{name}' has a driver of its own and may be real; this is for simulated arms only, such as "
            f"{StackOptions.robot}"
        )
    return robot


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What every process of the stack runs with; what the user has set already stays."""
    # Whoever has set one of the names means both.
    given = [base[name] for name in PROFILE_VARIABLES if base.get(name)]
    profile = given[0] if given else str(config_directory() / "fastdds.xml")
    defaults = {
        **dict.fromkeys(PROFILE_VARIABLES, profile),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "MUJOCO_GL": "egl",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "CLWM_ROOT": str(project_root()),
    }
    # An empty variable says as little as none.
    return {**base, **{name: base.get(name) or value for name, value in defaults.items()}}


def _settings() -> dict[str, dict[str, Any]]:
    """Of every node its parameters in stack.yaml. Raises GraphError."""
    fixed = _read_yaml(config_directory() / "stack.yaml")
    for name, values in fixed.items():
        if name not in _PACKAGES:
            raise GraphError(f"stack.yaml: field '{name}': no such node{nearest(str(name), _PACKAGES)}")
        if not isinstance(values, dict | None):
            raise GraphError(f"stack.yaml: field '{name}' is {values!r}; expected names and values of its parameters")
    return {name: fixed.get(name) or {} for name in _PACKAGES}


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise GraphError(f"{path} does not exist; restore it from the repository") from None
    except ConfigFileError as error:
        raise GraphError(str(error)) from None
    if not isinstance(content, dict):
        raise GraphError(f"{path} holds {type(content).__name__}; expected names and values")
    return content
