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

from clwm_common.files.config_files import ConfigFileError, Strict, explain, read_yaml
from clwm_common.names import camera_name
from clwm_common.robot.camera_source import CameraSource, OwnTopic
from clwm_common.robot.gripper import Gripper, Name, Topic
from clwm_common.robot.libfranka import Libfranka, check_reached

Seven = Annotated[list[float], Field(min_length=7, max_length=7)]
# No robot's base, workspace or link is so far away: these are millimetres.
Metres = Annotated[float, Field(ge=-100.0, le=100.0)]
Three = Annotated[list[Metres], Field(min_length=3, max_length=3)]
Camera = Annotated[str, AfterValidator(camera_name)]

_TURN = 2.0 * math.pi  # rad


class RobotError(ValueError):
    """A robot description that cannot be used; the message names the file, the field and what was expected."""


class JointLimits(Strict):
    """Limits of one arm's seven joints: rad, rad/s, rad/s^2, rad/s^3."""

    position_lower: Seven
    position_upper: Seven
    velocity: Seven
    acceleration: Seven
    jerk: Seven

    @model_validator(mode="after")
    def _ordered(self) -> JointLimits:
        if any(low >= high for low, high in zip(self.position_lower, self.position_upper, strict=True)):
            raise ValueError("position_lower must be below position_upper for every joint")
        for name in ("position_lower", "position_upper"):
            if max(map(abs, getattr(self, name))) > 2.0 * _TURN:
                raise ValueError(f"{name} is {getattr(self, name)}; expected rad, and these can only be degrees")
        for name in ("velocity", "acceleration", "jerk"):
            if any(value <= 0.0 for value in getattr(self, name)):
                raise ValueError(f"{name} must be positive for every joint")
        return self


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

    joint_states_topic: where its joints are published; empty where the robot's are. The names of arms with topics of
    their own may be alike. libfranka: how to reach it, where the robot's driver is libfranka.
    """

    joint_states_topic: OwnTopic = ""
    joint_names: Annotated[list[Name], Field(min_length=7, max_length=7)]
    base_position: Three
    base_yaw: float = 0.0
    home: Seven
    controller: Annotated[JtcController | ForwardController, Field(discriminator="kind")]
    gripper: Gripper
    libfranka: Libfranka | None = None

    @model_validator(mode="after")
    def _in_radians(self) -> Arm:
        if abs(self.base_yaw) > _TURN:
            text = f"base_yaw is {self.base_yaw:g}; expected rad, -2 pi to 2 pi"
            raise ValueError(f"{text}: as degrees it is {math.radians(self.base_yaw):.4f} rad")
        return self


class Tool(Strict):
    """The hand at the end of each arm. hand_yaw: rad that it is turned by about the z axis of the URDF's link `flange`.

    centre: m from the hand along its z axis to the tool centre point.
    """

    flange: Name
    hand_yaw: float = Field(ge=-math.pi, le=math.pi)
    centre: float = Field(ge=0.0, le=2.0)


class Capsule(Strict):
    """A part of an arm: all points within `radius` of the line from `start` to `end`, in the frame of a link [m]."""

    link: Literal["link0", "link1", "link2", "link3", "link4", "link5", "link6", "link7", "hand"]
    start: Three
    end: Three
    radius: float = Field(gt=0.0, le=2.0)
    above_table: bool = True


class Safety(Strict):
    """Where the arms may be. Distances in m, in the world frame.

    workspace_lower, workspace_upper: box of both tool centre points. clearance: arms closer than this to one another
    or to the table go no closer. A chunk that would take them `gross` deeper than that, or out of the box, is refused.
    """

    workspace_lower: Three
    workspace_upper: Three
    table_height: Metres = 0.0
    arm_clearance: float = Field(0.01, ge=0.0)
    table_clearance: float = Field(0.0, ge=0.0)
    gross: float = Field(0.05, gt=0.0)
    capsules: Annotated[list[Capsule], Field(min_length=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Safety:
        if any(low >= high for low, high in zip(self.workspace_lower, self.workspace_upper, strict=True)):
            raise ValueError("workspace_lower must be below workspace_upper on every axis")
        return self


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
        return min(self.places) < 14


class RobotDescription(Strict):
    """Two arms, left first. Arrays of 14 are left arm then right arm. Without `safety` no clearance is checked.

    driver: who moves the arms and publishes joints: `clwm_sim` or `libfranka`, started with the stack, or `external`.
    Pictures are clwm_sim's where the arms are simulated.
    cameras: in the order in which a policy knows them. camera_sources: of those whose pictures are not sent as the
    encoder takes them, on topics of the default names.
    """

    name: Name
    driver: Literal["clwm_sim", "libfranka", "external"] = "clwm_sim"
    urdf: Name
    eef_frame: Name
    tool: Tool
    left: Arm
    right: Arm
    limits: JointLimits
    safety: Safety | None = None
    cameras: Annotated[list[Camera], Field(min_length=1)]
    camera_sources: dict[Camera, CameraSource] = Field(default_factory=dict)
    joint_states_topic: Topic = "/joint_states"

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
        if (self.left.base_position, self.left.base_yaw) == (self.right.base_position, self.right.base_yaw):
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
        """The 14 joint names, left arm first."""
        return [*self.left.joint_names, *self.right.joint_names]

    def camera_source(self, camera: str) -> CameraSource:
        """Of one of `cameras`, with its topics."""
        return self.camera_sources.get(camera, CameraSource()).named(camera)

    def joint_sources(self) -> tuple[JointSource, ...]:
        """One for each joint state topic, in the order in which the arms name them."""
        found: dict[str, list[tuple[str, int]]] = {}
        for index, arm in enumerate(self.arms):
            topic = arm.joint_states_topic or self.joint_states_topic
            joints = [(name, 7 * index + place) for place, name in enumerate(arm.joint_names)]
            found.setdefault(topic, []).extend(joints)
            found.setdefault(arm.gripper.joint_states_topic or topic, []).append((arm.gripper.finger_joint, 14 + index))
        return tuple(
            JointSource(topic, *zip(*sorted(joints, key=lambda joint: joint[1]), strict=True))
            for topic, joints in found.items()
        )

    @property
    def home(self) -> NDArray[np.float64]:
        """(14,) rad."""
        return np.array([*self.left.home, *self.right.home])

    def limit(self, name: str) -> NDArray[np.float64]:
        """(14,) values of one limit (`velocity`, `position_lower`, ...), both arms being of one type."""
        return np.tile(np.asarray(getattr(self.limits, name), dtype=np.float64), 2)

    def urdf_path(self) -> Path:
        """The URDF on disk; `python://package/path` names a file inside an installed Python package.

        Raises RobotError when that package is not installed.
        """
        if self.urdf.startswith("python://"):
            package, _, inside = self.urdf.removeprefix("python://").partition("/")
            # Found without being imported: packages of robot models import half of a simulator.
            spec = importlib.util.find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise RobotError(f"urdf '{self.urdf}' of robot '{self.name}': no package '{package}'; install it")
            return Path(spec.submodule_search_locations[0]) / inside
        return Path(os.path.expandvars(self.urdf)).expanduser()


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
