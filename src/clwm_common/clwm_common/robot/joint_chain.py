"""The joints between a robot's base and one of its links, from a URDF: all that forward kinematics needs of it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ChainError(ValueError):
    """A URDF from which the chain cannot be had; the message names the file, the element and what was expected."""


@dataclass(frozen=True)
class JointChain:
    """n revolute joints in a row.

    placements: (n, 4, 4), the frame in which each joint turns, in the frame that the joint before it has turned; the
    first in the base. axes: (n, 3) unit vectors. end: (4, 4), the last link in the frame of the last joint, turned.
    """

    placements: Array
    axes: Array
    end: Array

    @classmethod
    def from_urdf(cls, path: Path, tip: str, base: str = "") -> JointChain:
        """The joints from the link `base` of the URDF, or else its root, to its link `tip`. Raises ChainError."""
        joints = _joints_by_child(path)
        placements, axes, end = [], [], np.eye(4)
        for joint in _way_to(tip, base, joints, path):
            end = end @ _origin(joint)
            match joint.get("type"):
                case "fixed":
                    pass
                case "revolute" | "continuous":
                    axis = _numbers(joint.find("axis"), "xyz", "1 0 0")
                    placements.append(end)
                    axes.append(axis / np.linalg.norm(axis))
                    end = np.eye(4)
                case other:
                    raise ChainError(f"URDF {path}: joint '{joint.get('name')}' is {other}; expected revolute or fixed")
        return cls(np.array(placements).reshape(-1, 4, 4), np.array(axes).reshape(-1, 3), end)

    def __len__(self) -> int:
        return len(self.placements)

    def turning(self) -> tuple[Array, Array, Array]:
        """Parts (n, 4, 4) of what a joint at angle q carries: the constant one, those by cos(q) and those by sin(q)."""
        cross = np.zeros((len(self), 4, 4))
        for matrix, (x, y, z) in zip(cross, self.axes, strict=True):
            matrix[:3, :3] = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
        # Rodrigues' formula: a rotation is I + sin(q) K + (1 - cos(q)) K^2, where K is the cross product with the axis.
        square = cross @ cross
        return self.placements @ (np.eye(4) + square), -self.placements @ square, self.placements @ cross


def placement(xyz: Array, rpy: Array) -> Array:
    """Homogeneous matrix (4, 4) of a translation [m] and of turns about the fixed axes x, y, z, in this order [rad]."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    result = np.eye(4)
    result[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    result[:3, 3] = xyz
    return result


def position_and_quaternion(matrix: Array) -> list[float]:
    """x, y, z and the unit quaternion x, y, z, w of a homogeneous matrix (4, 4); accurate for every rotation."""
    rotation = matrix.tolist()
    x, y, z = (row[3] for row in rotation[:3])
    trace = rotation[0][0] + rotation[1][1] + rotation[2][2]
    if trace > 0.0:
        root = math.sqrt(trace + 1.0)
        scale = 0.5 / root
        return [
            x,
            y,
            z,
            (rotation[2][1] - rotation[1][2]) * scale,
            (rotation[0][2] - rotation[2][0]) * scale,
            (rotation[1][0] - rotation[0][1]) * scale,
            0.5 * root,
        ]
    # Near half a turn w is small: start from the largest of the other three.
    i = max(range(3), key=lambda index: rotation[index][index])
    j, k = (i + 1) % 3, (i + 2) % 3
    root = math.sqrt(rotation[i][i] - rotation[j][j] - rotation[k][k] + 1.0)
    scale = 0.5 / root
    vector = [0.0, 0.0, 0.0]
    vector[i] = 0.5 * root
    vector[j] = (rotation[j][i] + rotation[i][j]) * scale
    vector[k] = (rotation[k][i] + rotation[i][k]) * scale
    return [x, y, z, *vector, (rotation[k][j] - rotation[j][k]) * scale]


def _joints_by_child(path: Path) -> dict[str, ElementTree.Element]:
    try:
        robot = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ChainError(f"URDF {path} is not XML: {error}") from None
    return {joint.find("child").get("link"): joint for joint in robot.findall("joint")}


def _way_to(tip: str, base: str, joints: dict[str, ElementTree.Element], path: Path) -> list[ElementTree.Element]:
    """Joints from the link `base`, or the root, to the link `tip`, in order."""
    way, link = [], tip
    while link != base and link in joints:
        if joints[link] in way:
            raise ChainError(f"URDF {path}: link '{link}' is its own ancestor; expected a tree")
        way.append(joints[link])
        link = joints[link].find("parent").get("link")
    if not way:
        raise ChainError(f"URDF {path} has no joint to a link '{tip}'; it has links {', '.join(joints) or 'none'}")
    if base and link != base:
        raise ChainError(f"URDF {path}: link '{base}' does not carry link '{tip}'; correct base_link, or tool.flange")
    return way[::-1]


def _origin(joint: ElementTree.Element) -> Array:
    element = joint.find("origin")
    return placement(_numbers(element, "xyz", "0 0 0"), _numbers(element, "rpy", "0 0 0"))


def _numbers(element: ElementTree.Element | None, name: str, default: str) -> Array:
    return np.array((default if element is None else element.get(name, default)).split(), dtype=np.float64)
