"""Camera geometry in the OpenCV convention (x right, y down, z forward; pixel centres at whole numbers)."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

CAMERAS = ("head", "left_wrist", "right_wrist")
_HIDDEN_GROUP = 2  # of geoms, which no picture shows
_MUJOCO_NAMES = {"head": "head", "left_wrist": "left/wrist", "right_wrist": "right/wrist"}


class RenderError(RuntimeError):
    """No picture can be drawn; the message says what is missing."""


@dataclass(frozen=True)
class CameraIntrinsics:
    """A pinhole camera without distortion; focal lengths and principal point in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) K of a CameraInfo message."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


def camera_id(model: mujoco.MjModel, camera: str) -> int:
    """MuJoCo's number of a camera. Raises ValueError for one that the model has not."""
    for name in (camera, _MUJOCO_NAMES.get(camera, camera)):
        if (number := mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name)) >= 0:
            return number
    known = {there: name for name, there in _MUJOCO_NAMES.items()}
    names = [known.get(name, name) for name in (model.camera(index).name for index in range(model.ncam))]
    raise ValueError(f"camera '{camera}' does not exist; expected one of {', '.join(names)}")


def intrinsics(model: mujoco.MjModel, camera: str, image_size: int) -> CameraIntrinsics:
    """Intrinsics of a square picture of `image_size` pixels."""
    focal = image_size / 2.0 / np.tan(np.radians(model.cam_fovy[camera_id(model, camera)]) / 2.0)
    centre = (image_size - 1) / 2.0
    return CameraIntrinsics(image_size, image_size, focal, focal, centre, centre)


def pose(model: mujoco.MjModel, data: mujoco.MjData, camera: str) -> NDArray[np.float64]:
    """World-from-camera transform (4, 4)."""
    index = camera_id(model, camera)
    result = np.eye(4)
    result[:3, :3] = data.cam_xmat[index].reshape(3, 3) * [1.0, -1.0, -1.0]
    result[:3, 3] = data.cam_xpos[index]
    return result


def project(points: ArrayLike, intrinsics: CameraIntrinsics, world_from_camera: ArrayLike) -> NDArray[np.float64]:
    """Pixels (n, 2) as (u, v) of world points (n, 3); NaN for points behind the camera."""
    world_from_camera = np.asarray(world_from_camera, dtype=np.float64)
    seen = (np.asarray(points, dtype=np.float64) - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    depth = np.where(seen[:, 2:] > 1e-6, seen[:, 2:], np.nan)
    return seen[:, :2] / depth * [intrinsics.fx, intrinsics.fy] + [intrinsics.cx, intrinsics.cy]


class Renderer:
    """Draws RGB pictures of the collision meshes without multi-sampling: the fast way in software.

    Owns a GL context: make it in the process that draws, after any fork or spawn, one per process.
    Raises RenderError when no GL library can be used.
    """

    def __init__(self, model: mujoco.MjModel, image_size: int) -> None:
        try:
            self._renderer = mujoco.Renderer(model, image_size, image_size)
        except Exception as error:  # each GL backend fails in a way of its own
            raise RenderError(
                f"off-screen rendering with MUJOCO_GL={os.environ.get('MUJOCO_GL')} failed ({error}); install libegl1 "
                "(Debian and Ubuntu: apt install libegl1 libgl1), or libosmesa6 and set MUJOCO_GL=osmesa"
            ) from error
        # Freed before the interpreter takes the GL library down, when nobody called close(): what is registered last
        # is called first, and the GL library was registered just now at the latest. Finalizers know no such order.
        self._finalizer = weakref.finalize(self, self._renderer.close)
        self._finalizer.atexit = False
        atexit.register(self._finalizer)
        self._model = model
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = [1, 1, 0, 1, 0, 0]
        self._options.sitegroup[:] = 0

    def draw(self, data: mujoco.MjData, camera: str, has_shadows: bool = False) -> NDArray[np.uint8]:
        """RGB picture (height, width, 3). Shadows take several times the time of a picture without."""
        number = camera_id(self._model, camera)
        groups = self._model.geom_group.copy()
        if not has_shadows:  # what is out of sight may cast one
            self._model.geom_group[~_in_sight(self._model, data, number)] = _HIDDEN_GROUP
        self._renderer.update_scene(data, number, self._options)
        self._model.geom_group[:] = groups
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = has_shadows
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        return self._renderer.render()

    def geoms(self, data: mujoco.MjData, camera: str) -> NDArray[np.int32]:
        """Number of the geom that each pixel shows (height, width), -1 where there is none."""
        self._renderer.enable_segmentation_rendering()
        self._renderer.update_scene(data, camera_id(self._model, camera), self._options)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        found = self._renderer.render()
        self._renderer.disable_segmentation_rendering()
        return np.where(found[..., 1] == mujoco.mjtObj.mjOBJ_GEOM, found[..., 0], -1)

    def upload(self, textures: Iterable[int]) -> None:
        """Show the model's present pixels of these textures from now on, and all of them as often as materials say."""
        # The renderer keeps its contexts to itself, and offers no other way to change a texture.
        self._renderer._gl_context.make_current()
        self._renderer._mjr_context.mat_texrepeat[: 2 * self._model.nmat] = self._model.mat_texrepeat.ravel()
        for texture in textures:
            mujoco.mjr_uploadTexture(self._model, self._renderer._mjr_context, texture)

    def close(self) -> None:
        self._finalizer()


def _in_sight(model: mujoco.MjModel, data: mujoco.MjData, camera: int) -> NDArray[np.bool_]:
    """(geoms,) whether any of a geom's bounding sphere may be in a square picture.

    MuJoCo draws also what no pixel shows; leaving it out saves a good part of the time.
    """
    x, y, back = ((data.geom_xpos - data.cam_xpos[camera]) @ data.cam_xmat[camera].reshape(3, 3)).T
    half = np.radians(model.cam_fovy[camera]) / 2.0
    # From the nearest side of the pyramid: positive outside of it.
    across = np.maximum(np.abs(x), np.abs(y)) * np.cos(half) + back * np.sin(half)
    return (across < model.geom_rbound) & (back < model.geom_rbound)
