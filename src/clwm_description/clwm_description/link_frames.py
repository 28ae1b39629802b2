"""Where the links of a robot are, each in the frame of what carries it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.joint_chain import placement, position_and_quaternion
from clwm_common.robot.kinematics import DualArmKinematics

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinkFrame:
    """`child` in `parent`. pose: xyz [m] and unit quaternion xyzw."""

    parent: str
    child: str
    pose: tuple[float, ...]


@dataclass(frozen=True)
class _Joint:
    """source: the joint whose position moves it, itself unless it mimics another one."""

    parent: str
    child: str
    origin: Array
    is_prismatic: bool
    axis: Array
    source: str
    multiplier: float
    offset: float

    def frame(self, position: float) -> LinkFrame:
        value = self.multiplier * position + self.offset
        moved = np.eye(4)
        if self.is_prismatic:
            moved[:3, 3] = value * self.axis
        else:
            x, y, z = self.axis
            cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
            # Rodrigues' formula.
            moved[:3, :3] += np.sin(value) * cross + (1.0 - np.cos(value)) * cross @ cross
        return LinkFrame(self.parent, self.child, tuple(position_and_quaternion(self.origin @ moved)))


class LinkFrames:
    """The frames of all links of one URDF."""

    def __init__(self, urdf: str) -> None:
        """urdf: its text. Raises ValueError for a joint of a type that no arm has."""
        self._fixed: list[LinkFrame] = []
        self._moving: list[_Joint] = []
        for joint in ElementTree.fromstring(urdf).findall("joint"):
            found = _joint(joint)
            if joint.get("type") == "fixed":
                self._fixed.append(found.frame(0.0))
            else:
                self._moving.append(found)

    def at(self, positions: Mapping[str, float]) -> list[LinkFrame]:
        """With joints at these positions, by name (rad, m); a link whose joint is not among them is left out."""
        moved = [it.frame(positions[it.source]) for it in self._moving if it.source in positions]
        return [*self._fixed, *moved]


class ArmFrames:
    """Links, hands and tools of any two arms, by their kinematics, and the cameras whose mounting is known.

    Of each arm `left_link0` to its last link, `left_hand` and `left_tool`, in `world`; `<camera>_optical_frame`.
    """

    def __init__(self, robot: RobotDescription) -> None:
        """Raises RobotError when the robot's URDF is missing."""
        self._kinematics, self._robot = DualArmKinematics(robot), robot
        links = [f"link{number}" for number in range(len(robot.left.joint_names) + 1)]
        self._places = [*enumerate(links), (8, "hand")]
        mountings = {name: robot.camera_source(name).mounting for name in robot.cameras}
        self._cameras = [
            LinkFrame(it.parent, f"{name}_optical_frame", (*it.position, *it.orientation))
            for name, it in mountings.items()
            if it is not None
        ]

    def at(self, positions: Mapping[str, float]) -> list[LinkFrame]:
        """With joints at these positions, by name [rad]; only cameras while one of the arms' is missing."""
        names = self._robot.joint_names
        if not all(name in positions for name in names):
            return list(self._cameras)
        joints = np.zeros(14)
        joints[self._robot.channels] = [positions[name] for name in names]
        frames, tools = self._kinematics.link_frames(joints)[0], self._kinematics.poses(joints)
        found = list(self._cameras)
        for index, side in enumerate(("left", "right")):
            found += [
                LinkFrame("world", f"{side}_{link}", tuple(position_and_quaternion(frames[index, place])))
                for place, link in self._places
            ]
            found.append(LinkFrame("world", f"{side}_tool", tuple(tools[index].tolist())))
        return found


def _joint(joint: ElementTree.Element) -> _Joint:
    name, kind = joint.get("name", ""), joint.get("type")
    if kind not in ("fixed", "revolute", "continuous", "prismatic"):
        raise ValueError(f"joint '{name}' is {kind}; expected fixed, revolute, continuous or prismatic")
    mimic = joint.find("mimic")
    axis = _numbers(joint.find("axis"), "xyz", "1 0 0")
    return _Joint(
        joint.find("parent").get("link"),
        joint.find("child").get("link"),
        placement(_numbers(joint.find("origin"), "xyz", "0 0 0"), _numbers(joint.find("origin"), "rpy", "0 0 0")),
        kind == "prismatic",
        axis / np.linalg.norm(axis),
        name if mimic is None else mimic.get("joint"),
        1.0 if mimic is None else float(mimic.get("multiplier", "1")),
        0.0 if mimic is None else float(mimic.get("offset", "0")),
    )


def _numbers(element: ElementTree.Element | None, name: str, default: str) -> Array:
    return np.array((default if element is None else element.get(name, default)).split(), dtype=np.float64)
