"""What is in a compiled MuJoCo model as plain data: bodies, what they weigh, and their shapes.

Lengths in m, masses in kg; placements are homogeneous matrices (4, 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Kind = Literal["box", "cylinder", "sphere", "ellipsoid", "capsule", "mesh"]

_KINDS: dict[int, Kind] = {
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_MESH: "mesh",
}


@dataclass(frozen=True)
class Shape:
    """size: half lengths of a box; radius, and half length along z, of round ones; radii of an ellipsoid. mesh: name of
    its file. placement: in its body's frame. friction: sliding. touches: whether anything collides with it.
    """

    name: str
    kind: Kind
    size: tuple[float, float, float]
    placement: Array
    colour: tuple[float, float, float]
    friction: float
    touches: bool
    mesh: str | None = None


@dataclass(frozen=True)
class Body:
    """centre: of mass (3,) in its frame; inertia: about it (3, 3) along the frame's axes."""

    name: str
    mass: float
    centre: Array
    inertia: Array
    shapes: tuple[Shape, ...]


def body_of(model: mujoco.MjModel, name: str) -> Body:
    """A body as it is now, with the shapes that can be seen. Raises KeyError for an unknown name."""
    body = model.body(name).id
    axes = placed([0.0] * 3, model.body_iquat[body])[:3, :3]
    return Body(
        name,
        float(model.body_mass[body]),
        model.body_ipos[body].copy(),
        axes @ np.diag(model.body_inertia[body]) @ axes.T,
        tuple(shapes_of(model, body)),
    )


def shapes_of(model: mujoco.MjModel, body: int) -> Iterator[Shape]:
    """The shapes of body number `body` that can be seen. One without a name is called by its number in the body."""
    first = int(model.body_geomadr[body])
    for number in range(int(model.body_geomnum[body])):
        geom = first + number
        if model.geom_rgba[geom, 3] == 0.0:
            continue
        placement, mesh = placed(model.geom_pos[geom], model.geom_quat[geom]), None
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            index = int(model.geom_dataid[geom])
            # MuJoCo moves a mesh into its principal axes; the file has it where it was.
            placement = placement @ np.linalg.inv(placed(model.mesh_pos[index], model.mesh_quat[index]))
            mesh = _mesh_file(model, index)
        yield Shape(
            model.geom(geom).name.rpartition("/")[2] or f"shape{number}",
            _KINDS[model.geom_type[geom]],
            tuple(model.geom_size[geom].tolist()),
            placement,
            tuple(model.geom_rgba[geom, :3].tolist()),
            float(model.geom_friction[geom, 0]),
            bool(model.geom_contype[geom] or model.geom_conaffinity[geom]),
            mesh,
        )


def placed(position: ArrayLike, quaternion: ArrayLike) -> Array:
    """The placement of a position (3,) and a quaternion (4,) wxyz."""
    result, axes = np.eye(4), np.empty(9)
    mujoco.mju_quat2Mat(axes, np.asarray(quaternion, dtype=np.float64))
    result[:3, :3], result[:3, 3] = axes.reshape(3, 3), position
    return result


def _mesh_file(model: mujoco.MjModel, mesh: int) -> str:
    start = int(model.mesh_pathadr[mesh])
    return Path(model.paths[start:].partition(b"\0")[0].decode()).name
