"""The collision shapes of an arm's links, as points in the frames that capsules are given in."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_bringup.new_robot.arms import ArmFound
from clwm_bringup.new_robot.urdf import Urdf
from clwm_common.robot.urdf_model import read_urdf

Array = NDArray[np.float64]

_ROUND = 16  # points of a circle


def points_by_link(urdf: Urdf, arm: ArmFound) -> dict[str, list[Array]]:
    """Points (n, 3) [m] of every collision shape, by the link of a robot description: link0, link1 ... and hand.

    What the flange carries is the hand's, with fingers at both ends of their range. Raises RobotError as `read_urdf`.
    """
    model = read_urdf(urdf.path).compile()
    shapes: dict[str, list[Array]] = {}
    for geom in range(model.ngeom):
        shapes.setdefault(model.body(model.geom_bodyid[geom]).name, []).append(_points(model, geom))
    links = [arm.base, *(joint.child for joint in arm.joints)]
    found = {}
    for index, link in enumerate(links):
        rigid = urdf.rigid(link, above=arm.flange)
        rigid.pop(arm.flange, None)
        if link == arm.base:
            # Fixed to the base of one arm may be the stand, the table and the other arm.
            rigid = {link: np.eye(4)}
        found[f"link{index}"] = [_moved(it, there) for name, there in rigid.items() for it in shapes.get(name, [])]
    found["hand"] = [
        _moved(it, there) for name, there in _hand(urdf, arm.flange, np.eye(4)) for it in shapes.get(name, [])
    ]
    return {link: points for link, points in found.items() if points}


def _hand(urdf: Urdf, link: str, there: Array) -> list[tuple[str, Array]]:
    """Links from the flange on, and where they are in it (4, 4); those on fingers twice."""
    found = [(link, there)]
    for joint in urdf.below(link):
        for value in {joint.lower or 0.0, joint.upper or 0.0} if joint.kind == "prismatic" else {0.0}:
            slid = np.eye(4)
            slid[:3, 3] = value * joint.axis
            found += _hand(urdf, joint.child, there @ joint.origin @ slid)
    return found


def _moved(points: Array, there: Array) -> Array:
    return points @ there[:3, :3].T + there[:3, 3]


def _points(model: mujoco.MjModel, geom: int) -> Array:
    """Corners of a geom in its body's frame; of round ones so many that the shape between them is inside."""
    size = model.geom_size[geom]
    match mujoco.mjtGeom(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = int(model.geom_dataid[geom])
            first = int(model.mesh_vertadr[mesh])
            points = model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])].astype(np.float64)
        case mujoco.mjtGeom.mjGEOM_BOX:
            points = size * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            points = size[0] * _sphere()
        case _:  # a cylinder, the only other shape that a URDF has
            points = np.concatenate([_circle(size[0], end * size[1]) for end in (-1.0, 1.0)])
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    return points @ rotation.reshape(3, 3).T + model.geom_pos[geom]


def _circle(radius: float, height: float) -> Array:
    angles = np.linspace(0.0, 2.0 * np.pi, _ROUND, endpoint=False)
    outside = radius / np.cos(np.pi / _ROUND)
    return np.column_stack([outside * np.cos(angles), outside * np.sin(angles), np.full(_ROUND, height)])


def _sphere() -> Array:
    return np.concatenate([_circle(np.cos(angle), np.sin(angle)) for angle in np.linspace(-1.5, 1.5, 9)])
