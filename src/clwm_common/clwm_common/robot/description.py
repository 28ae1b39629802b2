"""The robot as configured in `config/robots/*.yaml`: joints, limits, topics. One file, read by every package."""

from __future__ import annotations

import importlib.util
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError, model_validator

from clwm_common.actions import ARM_JOINTS
from clwm_common.files.config_files import ConfigFileError, Strict, explain, read_yaml
from clwm_common.names import camera_name
from clwm_common.robot.camera_source import CameraSource, OwnTopic
from clwm_common.robot.gripper import Gripper, Name, Topic
from clwm_common.robot.joint_chain import placement
from clwm_common.robot.libfranka import Libfranka, check_reached
from clwm_common.robot.limits import TURN, UNUSED, JointLimits, PerJoint, Safety, Three

Camera = Annotated[str, AfterValidator(camera_name)]


class RobotError(ValueError):
    """A robot description that cannot be used; the message names the file, the field and what was expected."""


class _Controller(Strict):
    topic: Topic

    @model_validator(mode="after")
    def _below_its_node(self) -> _Controller:
        if self.topic.count("/") < 2:
            raise ValueError(f"topic is '{self.topic}'; expected it below the controller's name: /<controller>/<topic>")
        return self

    @property
    def node(self) -> str:
        """The controller's own node: a controller hears its commands on a topic below its name."""
        return self.topic.rpartition("/")[0]


class JtcController(_Controller):
    """A joint_trajectory_controller, on its topic `~/joint_trajectory`."""

    kind: Literal["jtc"]


class ForwardController(_Controller):
    """A forward_command_controller of positions, on its topic `~/commands`, which gets `rate` positions a second."""

    kind: Literal["forward"]
    rate: float = Field(100.0, ge=20.0, le=500.0, description="Hz")


class Arm(Strict):
    """One arm: joint names in order, base pose in the world, home position, its controller and its gripper.

    base_roll, base_pitch, base_yaw: turns of the base about the world's fixed x, y and z axis, in this order [rad].
    joint_states_topic: where its joints are published; empty where the robot's are. The names of arms with topics of
    their own may be alike. libfranka: how to reach it, where the robot's driver is libfranka.
    """

    joint_states_topic: OwnTopic = ""
    joint_names: Annotated[list[Name], Field(min_length=1, max_length=ARM_JOINTS)]
    base_position: Three
    base_yaw: float = 0.0
    base_roll: float = 0.0
    base_pitch: float = 0.0
    home: PerJoint
    controller: Annotated[JtcController | ForwardController, Field(discriminator="kind")]
    gripper: Gripper
    libfranka: Libfranka | None = None

    @model_validator(mode="after")
    def _in_radians(self) -> Arm:
        for name in ("base_roll", "base_pitch", "base_yaw"):
            if abs(angle := getattr(self, name)) > TURN:
                text = f"{name} is {angle:g}; expected rad, -2 pi to 2 pi"
                raise ValueError(f"{text}: as degrees it is {math.radians(angle):.4f} rad")
        return self

    @property
    def base(self) -> NDArray[np.float64]:
        """World-from-base transform (4, 4)."""
        return placement(np.array(self.base_position), np.array([self.base_roll, self.base_pitch, self.base_yaw]))


class Tool(Strict):
    """The hand at the end of each arm. hand_yaw: rad that it is turned by about the z axis of the URDF's link `flange`.

    centre: m from the hand along its z axis to the tool centre point.
    """

    flange: Name
    hand_yaw: float = Field(ge=-math.pi, le=math.pi)
    centre: float = Field(ge=0.0, le=2.0)


class JointInterface(Strict):
    """Topics, of sensor_msgs/JointState, by which controllers that are not its own drive the simulation."""

    commands: Topic
    states: Topic


@dataclass(frozen=True)
class JointSource:
    """What one joint state topic has of the robot. places: (n,) where its joints are in left arm, right arm, left
    finger, right finger (0 to 15); has_arm: not only fingers.
    """

    topic: str
    names: tuple[str, ...]
    places: tuple[int, ...]

    @property
    def has_arm(self) -> bool:
        return min(self.places) < 2 * ARM_JOINTS


class RobotDescription(Strict):
    """Two arms of one type, left first. Arrays of 14 are left arm then right arm, each padded to 7 joints.

    Without `safety` no clearance is checked.

    driver: who moves the arms and publishes joints: `clwm_sim` or `libfranka`, started with the stack, or `external`.
    Pictures are clwm_sim's where the arms are simulated.
    joint_interface: of a simulation that has no controllers of its own.
    cameras: in the order in which a policy knows them. camera_sources: of those whose pictures are not sent as the
    encoder takes them, on topics of the default names.
    simulated_as: what clwm_sim shows: empty for its own table with two FR3, `urdf` for the arms of `urdf` on a bare
    table, or a file of MuJoCo's with the whole cell, whose joints have the names that are given here.
    urdf: base_link is where an arm begins in it, empty for its root. Paths are read by `path_of`.
    """

    name: Name
    driver: Literal["clwm_sim", "libfranka", "external"] = "clwm_sim"
    simulated_as: str = ""
    urdf: Name
    base_link: str = ""
    eef_frame: Name
    tool: Tool
    left: Arm
    right: Arm
    limits: JointLimits
    safety: Safety | None = None
    cameras: Annotated[list[Camera], Field(min_length=1)]
    camera_sources: dict[Camera, CameraSource] = Field(default_factory=dict)
    joint_states_topic: Topic = "/joint_states"
    joint_interface: JointInterface | None = None

    @model_validator(mode="after")
    def _as_many_joints_everywhere(self) -> RobotDescription:
        joints = len(self.limits.velocity)
        for side in ("left", "right"):
            for name in ("joint_names", "home"):
                if (found := len(getattr(getattr(self, side), name))) != joints:
                    raise ValueError(
                        f"{side}.{name} has {found} entries and limits.velocity has {joints}; expected one for each "
                        "joint of an arm, and both arms of one type"
                    )
        links = [f"link{index}" for index in range(joints + 1)]
        for index, capsule in enumerate(self.safety.capsules if self.safety else ()):
            if capsule.link not in (*links, "hand"):
                raise ValueError(
                    f"safety.capsules.{index}.link is {capsule.link}; arms of {joints} joints have {links[0]} to "
                    f"{links[-1]} and hand"
                )
        return self

    @model_validator(mode="after")
    def _home_is_reachable(self) -> RobotDescription:
        lower, upper = self.limits.position_lower, self.limits.position_upper
        for side in ("left", "right"):
            for joint, (value, low, high) in enumerate(zip(getattr(self, side).home, lower, upper, strict=True), 1):
                if not low <= value <= high:
                    text = f"home of the {side} joint {joint} is {value} rad"
                    raise ValueError(f"{text}; its limits are {low} to {high} rad")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> RobotDescription:
        if twice := sorted({name for name in self.cameras if self.cameras.count(name) > 1}):
            raise ValueError(f"cameras has {', '.join(twice)} twice; expected each camera once")
        self._check_camera_sources()
        commands = [arm.controller.topic for arm in self.arms] + [arm.gripper.command.name for arm in self.arms]
        if twice := sorted({name for name in commands if commands.count(name) > 1}):
            text = f"{', '.join(twice)} takes commands for two parts"
            raise ValueError(f"{text}; expected a topic for each arm and gripper")
        if np.array_equal(self.left.base, self.right.base):
            raise ValueError(f"base_position of both arms is {self.left.base_position}; they cannot stand in one place")
        for source in self.joint_sources():
            if twice := sorted({name for name in source.names if source.names.count(name) > 1}):
                raise ValueError(
                    f"{source.topic} is to carry {', '.join(twice)} twice; give the arms joint names or a "
                    "joint_states_topic of their own"
                )
        if self.driver == "clwm_sim" and len(self.joint_sources()) > 1:
            raise ValueError("clwm_sim publishes all joints on one topic; set joint_states_topic of the robot alone")
        return self

    def _check_camera_sources(self) -> None:
        if unknown := sorted(self.camera_sources.keys() - set(self.cameras)):
            raise ValueError(f"camera_sources has '{unknown[0]}'; expected names in cameras: {', '.join(self.cameras)}")
        topics = [self.camera_source(camera).topic for camera in self.cameras]
        if twice := sorted({topic for topic in topics if topics.count(topic) > 1}):
            raise ValueError(f"{twice[0]} is the topic of two cameras; expected one for each")
        sizes = [name for name, source in self.camera_sources.items() if source.simulated_size is not None]
        if sizes and not self.is_simulated:
            raise ValueError(f"camera '{sizes[0]}' has a simulated_size, and is not clwm_sim's; leave it out")
        plain = CameraSource()
        for camera in self.cameras if self.is_simulated else ():
            source, usual = self.camera_source(camera), plain.named(camera)
            if (source.topic, source.info_topic, source.transport) != (usual.topic, usual.info_topic, usual.transport):
                raise ValueError(
                    f"clwm_sim sends raw pictures on {usual.topic}; leave topic, info_topic and transport of camera "
                    f"'{camera}' out, or name another driver"
                )

    @model_validator(mode="after")
    def _is_reached(self) -> RobotDescription:
        if self.driver == "libfranka":
            check_reached({"left": self.left, "right": self.right})
        return self

    @property
    def is_simulated(self) -> bool:
        """Whether clwm_sim is behind it: nothing that it is told can harm anybody."""
        reached = self.left.libfranka
        return self.driver == "clwm_sim" or (
            self.driver == "libfranka" and reached is not None and reached.is_simulated
        )

    @classmethod
    def from_yaml(cls, path: str | Path) -> RobotDescription:
        """Read and check a description. Raises RobotError naming the field that is wrong.

        A file with `extends: NAME` says only what differs from the file NAME.yaml beside it.
        """
        path = Path(path)
        data = _read(path)
        if "extends" in data:
            base = _read(path.with_name(f"{data.pop('extends')}.yaml"))
            if "extends" in base:
                raise RobotError(f"{path}: field 'extends' must name a whole description, not one that extends another")
            if isinstance(data.get("cameras"), list) and isinstance(base.get("camera_sources"), dict):
                sources = {name: it for name, it in base["camera_sources"].items() if name in data["cameras"]}
                base = {**base, "camera_sources": sources}
            data = _merged(base, data)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise RobotError(explain(path, error, cls)) from None

    @classmethod
    def load(cls, name: str) -> RobotDescription:
        """Read `config/robots/<name>.yaml`. Raises RobotError for an unknown name."""
        return cls.from_yaml(config_directory() / "robots" / f"{name}.yaml")

    @property
    def arms(self) -> tuple[Arm, Arm]:
        return self.left, self.right

    @property
    def joint_names(self) -> list[str]:
        """The names of both arms' joints, left arm first: of those in `channels`."""
        return [*self.left.joint_names, *self.right.joint_names]

    def camera_source(self, camera: str) -> CameraSource:
        """Of one of `cameras`, with its topics."""
        return self.camera_sources.get(camera, CameraSource()).named(camera)

    def columns(self, arm: int) -> slice:
        """Where the joints of arm 0 (left) or 1 (right) are in arrays of 14."""
        return slice(ARM_JOINTS * arm, ARM_JOINTS * arm + len(self.limits.velocity))

    @property
    def channels(self) -> NDArray[np.intp]:
        """Where both arms' joints are in arrays of 14; the other places are masked."""
        places = np.arange(2 * ARM_JOINTS)
        return np.concatenate([places[self.columns(arm)] for arm in (0, 1)])

    def joint_sources(self) -> tuple[JointSource, ...]:
        """One for each joint state topic, in the order in which the arms name them."""
        found: dict[str, list[tuple[str, int]]] = {}
        for index, arm in enumerate(self.arms):
            topic = arm.joint_states_topic or self.joint_states_topic
            joints = [(name, ARM_JOINTS * index + place) for place, name in enumerate(arm.joint_names)]
            found.setdefault(topic, []).extend(joints)
            found.setdefault(arm.gripper.joint_states_topic or topic, []).append(
                (arm.gripper.finger_joint, 2 * ARM_JOINTS + index)
            )
        return tuple(
            JointSource(topic, *zip(*sorted(joints, key=lambda joint: joint[1]), strict=True))
            for topic, joints in found.items()
        )

    @property
    def home(self) -> NDArray[np.float64]:
        """(14,) rad; 0 where masked."""
        return self._padded([*self.left.home, *self.right.home], 0.0)

    def limit(self, name: str) -> NDArray[np.float64]:
        """(14,) values of one limit (`velocity`, `position_lower`, ...), both arms being of one type."""
        return self._padded(2 * getattr(self.limits, name), UNUSED[name])

    def _padded(self, values: list[float], unused: float) -> NDArray[np.float64]:
        result = np.full(2 * ARM_JOINTS, unused)
        result[self.channels] = values
        return result

    def urdf_path(self) -> Path:
        """The URDF on disk. Raises RobotError as `path_of` does."""
        return self.path_of("urdf")

    def path_of(self, field: str) -> Path:
        """The file that a field names: in config/robots where the name is not absolute.

        `python://package/path` is a file inside an installed Python package, and `$NAME` an environment variable.
        Raises RobotError when that package is not installed.
        """
        name = getattr(self, field)
        if name.startswith("python://"):
            package, _, inside = name.removeprefix("python://").partition("/")
            # Found without being imported: packages of robot models import half of a simulator.
            spec = importlib.util.find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise RobotError(f"{field} '{name}' of robot '{self.name}': no package '{package}'; install it")
            return Path(spec.submodule_search_locations[0]) / inside
        return config_directory() / "robots" / Path(os.path.expandvars(name)).expanduser()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        raise RobotError(f"robot description {path} does not exist; known robots: {known_robots()}") from None
    except ConfigFileError as error:
        raise RobotError(str(error)) from None
    if not isinstance(found, dict):
        raise RobotError(f"{path} holds {type(found).__name__}; expected names and values, as in dual_fr3_mujoco.yaml")
    return found


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, section by section; a section of another `kind` replaces the base's as a whole."""
    result = dict(base)
    for name, value in changes.items():
        old = base.get(name)
        are_sections = isinstance(old, dict) and isinstance(value, dict)
        is_other_kind = are_sections and value.get("kind", old.get("kind")) != old.get("kind")
        result[name] = _merged(old, value) if are_sections and not is_other_kind else value
    return result


def config_directory() -> Path:
    """The `config/` folder: $CLWM_CONFIG, else the source tree's or the wheel's, else the share of clwm_bringup."""
    if configured := os.environ.get("CLWM_CONFIG"):
        return Path(configured)
    for parent in Path(__file__).resolve().parents:
        if (parent / "config" / "robots").is_dir():
            return (parent / "config").resolve()  # in the source tree the package has a link
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        candidate = Path(prefix) / "share" / "clwm_bringup" / "config"
        if (candidate / "robots").is_dir():
            return candidate
    raise RobotError("no config/robots folder found; set CLWM_CONFIG to the project's config folder")


def known_robots() -> list[str]:
    """Names that `RobotDescription.load` accepts."""
    return sorted(path.stem for path in (config_directory() / "robots").glob("*.yaml"))
