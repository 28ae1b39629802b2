"""Objects in a MuJoCo model: compiled once, then fitted to every episode; compiling anew would take 0.9 s."""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.things import Part, Thing

_SHAPES = {"box": mujoco.mjtGeom.mjGEOM_BOX, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}
_AWAY, _TURNED = [0.01, 0.02, 0.03], [0.8, 0.0, 0.0, 0.6]
_HINGE = mujoco.mjtJoint.mjJNT_HINGE


def add_things(spec: mujoco.MjSpec, things: Iterable[Thing]) -> None:
    """Add a body with all its parts, present or not, for each object.

    Nothing is compiled where it will be: frames that coincide would be taken for the same in every episode.
    """
    # Its bounding volumes are of the sizes that were compiled, which objects fitted to an episode do not keep.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    for thing in things:
        body = spec.worldbody.add_body(name=thing.name, mocap=thing.moves == "placed")
        body.explicitinertial = True
        body.mass, body.inertia = 0.1, [1e-4, 1.1e-4, 1.2e-4]
        body.ipos, body.iquat = [0.02, 0.03, 0.01], [0.6, 0.8, 0.0, 0.0]
        if thing.moves == "free":
            body.add_freejoint(name=thing.name)
        elif thing.moves == "hinged":
            body.add_joint(name=thing.name, type=_HINGE, axis=[0.0, 1.0, 0.0], limited=True, range=[-1.0, 1.0])
        for part in thing.parts:
            body.add_geom(
                name=f"{thing.name}/{part.name}",
                type=_SHAPES[part.shape],
                size=list(part.size),
                pos=_AWAY,
                quat=_TURNED,
                condim=4,
                group=0,
            )


def fit(model: mujoco.MjModel, data: mujoco.MjData, things: Iterable[Thing]) -> None:
    """Give the compiled objects this episode's sizes, masses, frictions, colours and places; velocities become zero.

    Expects the objects that the model was made of, by name, with the same parts. Resets the rest of `data`.
    """
    things = tuple(things)
    for thing in things:
        _fit_parts(model, thing)
        if thing.moves != "placed":
            _fit_body(model, thing)
        if thing.hinge is not None:
            _fit_hinge(model, thing)
    extent = model.stat.extent  # recomputed below, and the cameras' near plane hangs on it
    mujoco.mj_setConst(model, data)
    model.stat.extent = extent
    mujoco.mj_resetData(model, data)
    for thing in things:
        put(model, data, thing)


def put(model: mujoco.MjModel, data: mujoco.MjData, thing: Thing) -> None:
    """An object to its place at the start, or to where it is parked when it is not present."""
    x, y, z = thing.position if thing.present else thing.parking
    pose = [x, y, z, np.cos(thing.yaw / 2.0), 0.0, 0.0, np.sin(thing.yaw / 2.0)]
    body = model.body(thing.name).id
    if thing.moves == "free":
        address = model.jnt_qposadr[model.joint(thing.name).id]
        data.qpos[address : address + 7] = pose
        # Nothing lies under a parked object, so it must not fall either.
        model.body_gravcomp[body] = 0.0 if thing.present else 1.0
    elif thing.moves == "placed":
        data.mocap_pos[model.body_mocapid[body]] = pose[:3]
        data.mocap_quat[model.body_mocapid[body]] = pose[3:]
    elif thing.hinge is not None:
        data.qpos[model.jnt_qposadr[model.joint(thing.name).id]] = thing.hinge.angle


def _fit_parts(model: mujoco.MjModel, thing: Thing) -> None:
    for part in thing.parts:
        geom = model.geom(f"{thing.name}/{part.name}").id
        model.geom_size[geom] = part.size
        model.geom_rbound[geom] = _bounding_radius(part)
        model.geom_aabb[geom, 3:] = part.size if part.shape == "box" else (part.size[0], part.size[0], part.size[1])
        model.geom_pos[geom] = part.position
        model.geom_quat[geom] = [np.cos(part.turn / 2.0), 0.0, 0.0, np.sin(part.turn / 2.0)]
        model.geom_rgba[geom] = [*part.colour, 1.0 if part.present else 0.0]
        model.geom_friction[geom] = [thing.friction, 0.01, 0.0001]
        model.geom_contype[geom] = model.geom_conaffinity[geom] = int(part.present and part.touches)


def _fit_body(model: mujoco.MjModel, thing: Thing) -> None:
    body = model.body(thing.name).id
    centre, inertia = mass_properties(thing.parts, thing.mass)
    moments, axes = np.linalg.eigh(inertia)
    if np.linalg.det(axes) < 0.0:
        axes[:, 0] *= -1.0
    model.body_mass[body] = thing.mass
    model.body_inertia[body] = moments
    model.body_ipos[body] = centre
    mujoco.mju_mat2Quat(model.body_iquat[body], axes.ravel())
    if thing.moves == "hinged":
        model.body_pos[body] = thing.position
        model.body_quat[body] = [np.cos(thing.yaw / 2.0), 0.0, 0.0, np.sin(thing.yaw / 2.0)]


def _fit_hinge(model: mujoco.MjModel, thing: Thing) -> None:
    joint, hinge = model.joint(thing.name).id, thing.hinge
    model.jnt_range[joint] = [-hinge.range, hinge.range]
    model.dof_damping[model.jnt_dofadr[joint]] = hinge.damping


def mass_properties(parts: Iterable[Part], mass: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre of mass (3,) and inertia about it (3, 3) of present parts of one density that weigh `mass` together.

    Raises ValueError when nothing is present.
    """
    parts = [part for part in parts if part.present]
    volume = sum(part.volume for part in parts)
    if volume <= 0.0:
        raise ValueError(f"a mass of {mass} kg needs at least one part of some volume")
    masses = [mass * part.volume / volume for part in parts]
    centre = sum(share * np.asarray(part.position) for share, part in zip(masses, parts, strict=True)) / mass
    inertia = np.zeros((3, 3))
    for share, part in zip(masses, parts, strict=True):
        c, s = np.cos(part.turn), np.sin(part.turn)
        axes = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        away = np.asarray(part.position) - centre
        # Steiner: from the part's centre to the common one.
        inertia += axes @ np.diag(_moments(part, share)) @ axes.T
        inertia += share * (away @ away * np.eye(3) - np.outer(away, away))
    return centre, inertia


def _moments(part: Part, mass: float) -> NDArray[np.float64]:
    """Principal moments (3,) of one part about its own axes."""
    if part.shape == "box":
        x2, y2, z2 = np.square(part.size)
        return mass / 3.0 * np.array([y2 + z2, x2 + z2, x2 + y2])
    radius, half, _ = part.size
    across = mass * (radius**2 / 4.0 + half**2 / 3.0)
    return np.array([across, across, mass * radius**2 / 2.0])


def _bounding_radius(part: Part) -> float:
    return float(np.linalg.norm(part.size if part.shape == "box" else part.size[:2]))
