"""Random but modest changes of colours, light and camera poses, so that no encoder learns one rendering by heart."""

from __future__ import annotations

import mujoco
import numpy as np

COLOUR_SPREAD = 0.12  # of a colour channel's range
SURROUNDINGS_SPREAD = 0.20  # the same for table and floor, which carry no meaning
LIGHT_SPREAD = 0.30  # relative
CAMERA_SHIFT = 0.008  # m
CAMERA_TURN = np.radians(1.0)
FIELD_SPREAD = 0.5  # deg
_LIGHT = ("light_active", "light_castshadow", "light_diffuse", "light_dir", "light_pos")


class Appearance:
    """Remembers a model's looks at construction; `randomise` always starts from them."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._fields = ("geom_rgba", "geom_matid", *_LIGHT, "cam_pos", "cam_quat", "cam_fovy")
        self._nominal = {name: getattr(model, name).copy() for name in self._fields}
        self._headlight = {name: getattr(model.vis.headlight, name).copy() for name in ("ambient", "diffuse")}
        kind = mujoco.mjtObj.mjOBJ_GEOM
        self._surroundings = [mujoco.mj_name2id(model, kind, name) for name in ("table", "floor")]
        self._groups = self._geoms_of_one_colour()

    def restore(self) -> None:
        """Back to the nominal looks."""
        for name, value in self._nominal.items():
            getattr(self._model, name)[:] = value
        for name, value in self._headlight.items():
            getattr(self._model.vis.headlight, name)[:] = value

    def keep(self, geoms: list[int]) -> None:
        """Take the present colours of some geoms as their nominal ones."""
        self._nominal["geom_rgba"][geoms] = self._model.geom_rgba[geoms]
        self._groups = self._geoms_of_one_colour()

    def randomise(self, rng: np.random.Generator, strength: float, camera_jitter: float) -> None:
        """Draw new looks around the nominal ones; both factors are 1 for the full spread, 0 for none."""
        self.restore()
        model = self._model
        for geoms in self._groups:
            spread = SURROUNDINGS_SPREAD if geoms[0] in self._surroundings else COLOUR_SPREAD
            brightness = 1.0 + strength * rng.uniform(-0.15, 0.15)
            shift = strength * rng.uniform(-spread, spread, 3)
            model.geom_rgba[geoms, :3] = np.clip(model.geom_rgba[geoms[0], :3] * brightness + shift, 0.0, 1.0)
        for light in (model.light_diffuse, model.vis.headlight.ambient, model.vis.headlight.diffuse):
            light *= 1.0 + strength * rng.uniform(-LIGHT_SPREAD, LIGHT_SPREAD)
        direction = model.light("lamp").dir
        direction += strength * rng.uniform(-0.4, 0.4, 3)
        direction /= np.linalg.norm(direction)
        for camera in range(model.ncam):
            model.cam_pos[camera] += camera_jitter * rng.uniform(-CAMERA_SHIFT, CAMERA_SHIFT, 3)
            turn = camera_jitter * rng.uniform(-CAMERA_TURN, CAMERA_TURN, 3)
            mujoco.mju_quatIntegrate(model.cam_quat[camera], turn, 1.0)
            model.cam_fovy[camera] += camera_jitter * rng.uniform(-FIELD_SPREAD, FIELD_SPREAD)

    def recolour(self, rng: np.random.Generator) -> None:
        """Give objects, table and floor a random colour each, one that shares nothing with the nominal looks."""
        self.restore()
        for geoms in self._groups:
            if "/" not in self._model.body(self._model.geom_bodyid[geoms[0]]).name:  # an arm's names are side/name
                self._model.geom_rgba[geoms, :3] = rng.uniform(0.0, 1.0, 3)

    def _geoms_of_one_colour(self) -> list[list[int]]:
        groups: dict[tuple[float, ...], list[int]] = {}
        for geom, colour in enumerate(self._model.geom_rgba):
            if not self._model.geom(geom).name.startswith(("wall", "distractor")):  # not there unless looks have them
                groups.setdefault(tuple(colour), []).append(geom)
        return list(groups.values())
