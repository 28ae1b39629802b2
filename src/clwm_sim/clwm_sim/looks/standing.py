"""Distractors on a stage: compiled into every scene, waiting under the floor until an episode has them."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from clwm_sim.looks.looks import DISTRACTORS, Distractor
from clwm_sim.situation import Obstacle

_AWAY = (1.5, 1.5, -3.0)  # m
_APART = 0.02  # m that a distractor keeps from arms and objects when it is put up
_SHAPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}
_FIELDS = ("geom_type", "geom_size", "geom_rbound", "geom_aabb", "geom_contype", "geom_conaffinity")


def add_waiting(spec: mujoco.MjSpec) -> None:
    """Add distractors to a model. They come after all other bodies, which keep their numbers."""
    for number in range(DISTRACTORS):
        body = spec.worldbody.add_body(name=f"distractor{number}", mocap=True, pos=_waiting(number))
        body.add_geom(
            name=f"distractor{number}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[0.02, 0.0, 0.0],
            condim=4,
            rgba=[0.5, 0.5, 0.5, 0.0],
            contype=0,
            conaffinity=0,
        )


class Standing:
    """The distractors of one model."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._geoms = [model.geom(f"distractor{number}").id for number in range(DISTRACTORS)]
        self._mocaps = [int(model.body_mocapid[model.geom_bodyid[geom]]) for geom in self._geoms]
        self.places: tuple[Obstacle, ...] = ()

    def take_down(self, data: mujoco.MjData) -> None:
        """Let all wait again."""
        self._model.geom_contype[self._geoms] = self._model.geom_conaffinity[self._geoms] = 0
        self._model.geom_rgba[self._geoms, 3] = 0.0
        for number, mocap in enumerate(self._mocaps):
            data.mocap_pos[mocap] = _waiting(number)
        self.places = ()

    def put_up(self, data: mujoco.MjData, distractors: Sequence[Distractor]) -> None:
        """Put these on the table in place of those before; one that would stand in an arm or an object, or nearer to it
        than 2 cm, is left out.
        """
        self.take_down(data)
        for geom, mocap, distractor in zip(self._geoms, self._mocaps, distractors, strict=False):
            self._shape(geom, distractor)
            half = distractor.yaw / 2.0
            data.mocap_pos[mocap] = [*distractor.place, distractor.height]
            data.mocap_quat[mocap] = _about_z(half) if distractor.shape != "capsule" else _lying(half)
        mujoco.mj_kinematics(self._model, data)
        others = np.flatnonzero((self._model.geom_rgba[:, 3] > 0.0) & (self._model.geom_bodyid > 0))
        for number, distractor in enumerate(distractors):
            geom = self._geoms[number]
            if any(self._is_near(data, geom, int(other)) for other in others):
                data.mocap_pos[self._mocaps[number]] = _waiting(number)
                continue
            self._model.geom_contype[geom] = self._model.geom_conaffinity[geom] = 1
            self._model.geom_rgba[geom, 3] = 1.0
            self.places += (Obstacle(np.array(distractor.place), distractor.extent),)
        mujoco.mj_kinematics(self._model, data)

    def stand_as(self, other: Standing) -> None:
        """Be as solid as those of another model of this kind, and as unseen as before; where, the state says."""
        for field in _FIELDS:
            getattr(self._model, field)[self._geoms] = getattr(other._model, field)[other._geoms]
        self.places = other.places

    def _shape(self, geom: int, distractor: Distractor) -> None:
        model, size = self._model, np.asarray(distractor.size)
        first, second, _ = size
        box = {
            "sphere": [first] * 3,
            "ellipsoid": size,
            "cylinder": [first, first, second],
            "capsule": [first, first, first + second],
        }[distractor.shape]
        model.geom_type[geom] = _SHAPES[distractor.shape]
        model.geom_size[geom] = size
        model.geom_rbound[geom] = np.linalg.norm(box)
        model.geom_aabb[geom, 3:] = box

    def _is_near(self, data: mujoco.MjData, geom: int, other: int) -> bool:
        away = np.linalg.norm(data.geom_xpos[geom] - data.geom_xpos[other])
        if away > self._model.geom_rbound[geom] + self._model.geom_rbound[other] + _APART:
            return False
        return mujoco.mj_geomDistance(self._model, data, geom, other, _APART, None) < _APART


def _waiting(number: int) -> list[float]:
    return [_AWAY[0], _AWAY[1] - 0.3 * number, _AWAY[2]]


def _about_z(half: float) -> list[float]:
    return [np.cos(half), 0.0, 0.0, np.sin(half)]


def _lying(half: float) -> list[float]:
    """A capsule's axis, z, to the horizontal and then about the vertical."""
    quaternion = np.empty(4)
    mujoco.mju_mulQuat(quaternion, np.array(_about_z(half)), np.array([np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0]))
    return quaternion.tolist()
