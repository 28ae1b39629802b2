"""Gives a compiled model its looks: what they need is compiled into every scene once, unseen until it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clwm_sim import cameras
from clwm_sim.looks.looks import DISTRACTORS, LAMPS, TEXTURES, CameraLook, Looks, LooksError, Surface
from clwm_sim.looks.standing import Standing, add_waiting
from clwm_sim.looks.textures import TILE, tile

LAMP_TARGET = np.array([0.45, 0.0, 0.0])  # m: the middle of what lies on the table
_WALLS, _WALL_AWAY = 4, 2.2  # m from the middle
_NEAR_LAMP_CUTOFF = 80.0  # deg: all of the table is lit


def add_slots(spec: mujoco.MjSpec) -> None:
    """Add textures, lamps and walls to a model, which looks as before until it is dressed."""
    for number in range(TEXTURES):
        name = f"texture{number}"
        white = {"builtin": mujoco.mjtBuiltin.mjBUILTIN_FLAT, "rgb1": [1.0] * 3, "rgb2": [1.0] * 3}
        spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=TILE, height=TILE, **white)
        material = spec.add_material(name=name, texuniform=True, specular=0.0, shininess=0.0)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    for number in range(1, LAMPS):
        spec.worldbody.add_light(
            name=f"lamp{number}",
            type=mujoco.mjtLightType.mjLIGHT_SPOT,
            cutoff=_NEAR_LAMP_CUTOFF,
            exponent=0.0,
            specular=[0.0] * 3,
            castshadow=False,
            active=False,
        )
    for number in range(_WALLS):
        angle = 2.0 * np.pi * number / _WALLS
        inwards = np.array([-np.cos(angle), -np.sin(angle), 0.0])
        quaternion = np.empty(4)
        mujoco.mju_quatZ2Vec(quaternion, inwards)  # patterns lie in a geom's x and y
        spec.worldbody.add_geom(
            name=f"wall{number}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[_WALL_AWAY, _WALL_AWAY, 0.02],
            pos=[*(LAMP_TARGET - _WALL_AWAY * inwards)],
            quat=quaternion.tolist(),
            rgba=[0.5, 0.5, 0.5, 0.0],
            contype=0,
            conaffinity=0,
        )
    add_waiting(spec)


class Dressing:
    """Changes one model's looks; whoever remembers the nominal ones takes them off again."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self.distractors = Standing(model)
        self._geoms: dict[str, list[int]] = {}
        for geom in range(model.ngeom):
            self._geoms.setdefault(_surface_of(model, geom), []).append(geom)
        self._lamps = [model.light(name).id for name in ("lamp", *(f"lamp{number}" for number in range(1, LAMPS)))]
        self._textures = [model.texture(f"texture{number}").id for number in range(TEXTURES)]
        self._materials = [model.material(f"texture{number}").id for number in range(TEXTURES)]

    def check(self, looks: Looks) -> None:
        """Raises LooksError for what the scene does not have, or more of it than there is room for."""
        for kind, number, room in (
            ("lamps", len(looks.lamps), LAMPS),
            ("distractors", len(looks.distractors), DISTRACTORS),
            ("different patterns", len(_patterns(looks)), TEXTURES),
        ):
            if number > room:
                raise LooksError(f"{number} {kind} are too many; a scene has room for {room}")
        for kind, asked, known in (
            ("surface", looks.surfaces, self._geoms),
            ("camera", looks.cameras, cameras.CAMERAS),
        ):
            if unknown := sorted(set(asked) - set(known)):
                raise LooksError(f"{kind} '{unknown[0]}' does not exist; expected some of {', '.join(known)}")

    def put_on(self, data: mujoco.MjData, looks: Looks) -> list[int]:
        """Change the nominal looks to these, which were checked; returns the textures that changed.

        A distractor that would stand in an arm or an object, or nearer to it than 2 cm, is left out.
        """
        self._light(looks)
        for name, camera in looks.cameras.items():
            self._mount(name, camera)
        changed = self._paint(_surfaces(looks), _patterns(looks))
        self.distractors.put_up(data, looks.distractors)
        return changed

    def _paint(self, surfaces: Mapping[str, Surface], patterns: Sequence[Surface]) -> list[int]:
        model = self._model
        for surface, texture, material in zip(patterns, self._textures, self._materials, strict=False):
            start = model.tex_adr[texture]
            model.tex_data[start : start + 3 * TILE**2] = tile(surface).ravel()
            model.mat_texrepeat[material] = 1.0 / surface.period
        slots = dict(zip(patterns, self._materials, strict=False))
        for name, surface in surfaces.items():
            geoms = self._geoms[name]
            # The texture has the colours; MuJoCo multiplies them by the geom's.
            model.geom_rgba[geoms, :3] = 1.0 if surface in slots else surface.colour
            model.geom_matid[geoms] = slots.get(surface, -1)
        if "wall" in surfaces:
            model.geom_rgba[self._geoms["wall"], 3] = 1.0
        return self._textures[: len(patterns)]

    def _light(self, looks: Looks) -> None:
        if not looks.lamps:
            return
        model = self._model
        model.vis.headlight.ambient[:] = looks.ambient
        model.vis.headlight.diffuse[:] = 0.0
        model.light_active[self._lamps] = False
        for light, lamp in zip(self._lamps, looks.lamps, strict=False):
            away = np.asarray(lamp.position) - LAMP_TARGET
            model.light_active[light] = True
            model.light_diffuse[light] = lamp.colour
            model.light_dir[light] = -away / np.linalg.norm(away)
            model.light_pos[light] = lamp.position
        # Shadows are drawn around the lamp's place, as far as the model's extent: 1 m.
        model.light_pos[self._lamps[0]] = LAMP_TARGET
        model.light_castshadow[self._lamps[0]] = looks.has_shadows

    def _mount(self, name: str, look: CameraLook) -> None:
        model, camera = self._model, cameras.camera_id(self._model, name)
        nominal = model.cam_pos[camera], model.cam_quat[camera]
        model.cam_pos[camera], model.cam_quat[camera] = mounted(*nominal, look)
        model.cam_fovy[camera] += look.widening


def mounted(position: ArrayLike, quaternion: ArrayLike, look: CameraLook) -> tuple[NDArray, NDArray]:
    """Position (3,) m and quaternion (4,) wxyz of a camera that is meant to be there."""
    shift, turned = np.empty(3), np.array(quaternion, dtype=np.float64)
    mujoco.mju_rotVecQuat(shift, np.asarray(look.shift), turned)
    mujoco.mju_quatIntegrate(turned, np.asarray(look.turn), 1.0)
    return np.asarray(position) + shift, turned


def _surfaces(looks: Looks) -> dict[str, Surface]:
    """By name, those of distractors too."""
    return {**looks.surfaces, **{f"distractor{number}": each.surface for number, each in enumerate(looks.distractors)}}


def _patterns(looks: Looks) -> list[Surface]:
    """Surfaces that need a texture, each once."""
    return list(dict.fromkeys(surface for surface in _surfaces(looks).values() if surface.pattern != "plain"))


def _surface_of(model: mujoco.MjModel, geom: int) -> str:
    """The name of a geom's surface: of SURROUNDINGS, or `object/part`, as the geom is called."""
    body = model.body(model.geom_bodyid[geom]).name
    if body.startswith(("left/", "right/")):
        return "fingers" if "finger" in body else "arms"
    name = model.geom(geom).name
    if name.startswith("wall"):
        return "wall"
    if "/" in name or body == "world" or name.startswith("distractor"):
        return name
    # Each of the first tasks' objects is one part for whoever draws looks, whatever it is made of.
    return f"{body}/{body}"
