"""What a robot description needs of a URDF: its joints and how they hang together. No ROS, no simulator."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotError
from clwm_common.robot.joint_chain import placement

_MOVING = ("revolute", "continuous", "prismatic", "planar", "floating")


@dataclass(frozen=True)
class UrdfJoint:
    """A joint as the file has it; limits are None where it has none. origin: child link in the parent link (4, 4)."""

    name: str
    kind: str
    parent: str
    child: str
    origin: NDArray[np.float64]
    axis: NDArray[np.float64]
    mimics: str
    lower: float | None
    upper: float | None
    velocity: float | None
    effort: float | None
    acceleration: float | None
    jerk: float | None

    @property
    def moves(self) -> bool:
        return self.kind in _MOVING


@dataclass(frozen=True)
class Urdf:
    """A tree of links. joints: by name, in the order of the file; root: the link that nothing carries."""

    path: Path
    joints: dict[str, UrdfJoint]
    root: str

    @classmethod
    def read(cls, path: Path) -> Urdf:
        """Raises RobotError: which element is wrong, and what to do."""
        try:
            text = path.read_text()
            robot = ElementTree.fromstring(text)
        except (OSError, UnicodeDecodeError) as error:
            raise RobotError(f"URDF {path} cannot be read: {error}; name a file that is there") from None
        except ElementTree.ParseError as error:
            raise RobotError(f"URDF {path} is not XML: {error}; mend it, or export it again") from None
        _require_expanded(path, robot)
        if robot.tag != "robot":
            raise RobotError(f"URDF {path} holds <{robot.tag}>; expected <robot>, as SDF and MJCF are other formats")
        joints: dict[str, UrdfJoint] = {}
        for element in robot.findall("joint"):
            joint = _joint(path, element)
            if joint.name in joints:
                raise RobotError(f"URDF {path}: joint '{joint.name}' is there twice; rename one")
            joints[joint.name] = joint
        links = [link.get("name", "") for link in robot.findall("link")]
        carried = [joint.child for joint in joints.values()]
        if twice := sorted({link for link in carried if carried.count(link) > 1}):
            raise RobotError(f"URDF {path}: link '{twice[0]}' is the child of two joints; expected a tree")
        for joint in joints.values():
            for link in (joint.parent, joint.child):
                if link not in links:
                    raise RobotError(
                        f"URDF {path}: joint '{joint.name}' names link '{link}', which is not there; add it"
                    )
        roots = [link for link in links if link not in carried]
        if len(roots) != 1:
            found = ", ".join(roots) or "none"
            raise RobotError(f"URDF {path}: links that no joint carries are {found}; expected one, the root of a tree")
        return cls(path, joints, roots[0])

    def below(self, link: str) -> list[UrdfJoint]:
        """The joints that hang on a link itself."""
        return [joint for joint in self.joints.values() if joint.parent == link]

    def moving_below(self, link: str) -> list[UrdfJoint]:
        """The joints that move anywhere below a link, nearest first."""
        found = []
        for joint in self.below(link):
            found += [*([joint] if joint.moves else []), *self.moving_below(joint.child)]
        return found

    def rigid(self, link: str, above: str = "") -> dict[str, NDArray[np.float64]]:
        """Itself and what it carries with no joint that moves in between: where these links are in it (4, 4)."""
        found = {link: np.eye(4)}
        for joint in self.below(link):
            if not joint.moves and joint.child != above:
                found |= {name: joint.origin @ there for name, there in self.rigid(joint.child, above).items()}
        return found

    def above(self, link: str) -> list[UrdfJoint]:
        """The joints from the root to a link, in this order."""
        way = []
        while carrying := next((joint for joint in self.joints.values() if joint.child == link), None):
            way.append(carrying)
            link = carrying.parent
        return way[::-1]


def _require_expanded(path: Path, robot: ElementTree.Element) -> None:
    for element in robot.iter():
        tag, values = str(element.tag), [*element.attrib.values(), element.text or ""]
        if "xacro" in tag or any("${" in value or "$(" in value for value in values):
            shown = tag.rpartition("}")[2] if "xacro" in tag else next(it for it in values if "$" in it).strip()
            raise RobotError(
                f"URDF {path} is a xacro that has not been expanded (it has '{shown}'); run `xacro {path.name} > "
                f"{path.name.removesuffix('.xacro').removesuffix('.urdf')}.urdf`, and give that file"
            )


def _joint(path: Path, element: ElementTree.Element) -> UrdfJoint:
    name = element.get("name", "")
    where = f"URDF {path}: joint '{name}'"
    parent, child = (_attribute(element.find(tag), "link") for tag in ("parent", "child"))
    if not name or not parent or not child:
        raise RobotError(f"{where} lacks {'its name' if not name else '<parent> or <child>'}; add it")
    kind = element.get("type", "")
    if kind != "fixed" and kind not in _MOVING:
        raise RobotError(f"{where} has type '{kind}'; expected fixed, revolute, continuous or prismatic")
    origin, axis, limit = (element.find(tag) for tag in ("origin", "axis", "limit"))
    direction = _vector(where, axis, "xyz", "1 0 0")
    if kind != "fixed" and not np.linalg.norm(direction) > 0.0:
        raise RobotError(f"{where} has axis xyz '{_attribute(axis, 'xyz')}'; expected a direction")
    return UrdfJoint(
        name,
        kind,
        parent,
        child,
        placement(_vector(where, origin, "xyz", "0 0 0"), _vector(where, origin, "rpy", "0 0 0")),
        direction / max(float(np.linalg.norm(direction)), 1e-12),
        _attribute(element.find("mimic"), "joint"),
        *(_number(where, limit, it) for it in ("lower", "upper", "velocity", "effort", "acceleration", "jerk")),
    )


def _attribute(element: ElementTree.Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def _vector(where: str, element: ElementTree.Element | None, name: str, default: str) -> NDArray[np.float64]:
    text = _attribute(element, name) or default
    try:
        vector = np.array(text.split(), dtype=np.float64)
    except ValueError:
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise RobotError(f"{where} has {name} '{text}'; expected three numbers")
    return vector


def _number(where: str, element: ElementTree.Element | None, name: str) -> float | None:
    text = _attribute(element, name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise RobotError(f"{where} has {name} '{text}'; expected a finite number")
    return number
