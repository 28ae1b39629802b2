"""Where the tools will go, in a camera's picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import LEFT_POSITION, RIGHT_POSITION
from clwm_common.robot.camera_source import Mounting

NEAREST = 0.05  # m before the camera; what is nearer is not drawn


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: matrix (3, 3) in pixels, for pictures of width x height."""

    matrix: NDArray[np.float64]
    width: int
    height: int

    @property
    def is_usable(self) -> bool:
        """Whether it says how the picture is made; a camera that is not calibrated publishes zeros."""
        return self.width > 0 and self.height > 0 and bool(np.isfinite(self.matrix).all()) and self.matrix[0, 0] > 0.0


def tool_paths(rows: NDArray[np.float32], mount: Mounting, camera: Pinhole) -> list[list[tuple[float, float] | None]]:
    """Of either tool its way along the rows (n, 30), as shares of the picture's width and height from its upper left.

    None where it is beside or behind the camera.
    """
    return [_seen(rows[:, part].astype(np.float64), mount, camera) for part in (LEFT_POSITION, RIGHT_POSITION)]


def _seen(points: NDArray[np.float64], mount: Mounting, camera: Pinhole) -> list[tuple[float, float] | None]:
    before = (points - np.array(mount.position)) @ _rotation(np.array(mount.orientation))
    shares: list[tuple[float, float] | None] = []
    for x, y, depth in before:
        if not depth > NEAREST:  # nor where it is not a number
            shares.append(None)
            continue
        u, v, _ = camera.matrix @ np.array([x / depth, y / depth, 1.0])
        # Pixel centres are at whole numbers.
        shares.append((round(float((u + 0.5) / camera.width), 4), round(float((v + 0.5) / camera.height), 4)))
    return shares


def _rotation(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )
