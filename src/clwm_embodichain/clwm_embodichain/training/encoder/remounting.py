"""Pictures as cameras mounted otherwise would have taken them: a camera that turns or zooms needs no new picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from clwm_embodichain.training.encoder.data import SEGMENT_STRIDE, Frames
from clwm_embodichain.training.encoder.roles import SEGMENTS

SHARE = 0.5  # of the pictures; the others stay as sharp as they were drawn
TURN = np.radians(2.0)  # at most, about any axis, beside what the look itself does
ZOOM = 0.04  # at most, natural logarithm
FOCAL = 1.25  # of a picture's width: no camera's own, but turns are small
_REST = SEGMENTS.index("rest")


def remount(frames: Frames, rng: np.random.Generator) -> Frames:
    """Turn and zoom the cameras of a share of the pictures, each by itself; what the pictures show of things moves
    along, and the world stays as it is. Beyond the old edges the outermost pixels are repeated.
    """
    images, pixels, segments = (values.copy() for values in (frames.images, frames.pixels, frames.segments))
    for view in np.ndindex(images.shape[:3]):
        if rng.random() < SHARE:
            images[view], pixels[view], segments[view] = _remounted(
                images[view], pixels[view], segments[view], homography(rng, images.shape[3])
            )
    return replace(frames, images=images, pixels=pixels, segments=segments)


def homography(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """From pixels of a square picture to those of another camera in the same place: K' R K^-1, random R and zoom."""
    turn = rng.normal(size=3)
    turn *= TURN * rng.random() ** (1 / 3) / np.linalg.norm(turn)
    focal, centre = FOCAL * size, (size - 1) / 2.0
    before = np.array([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])
    zoom = np.exp(rng.uniform(-ZOOM, ZOOM))
    return before @ np.diag([zoom, zoom, 1.0]) @ Rotation.from_rotvec(turn).as_matrix() @ np.linalg.inv(before)


def _remounted(image: NDArray, pixels: NDArray, segments: NDArray, change: NDArray) -> tuple[NDArray, ...]:
    size = image.shape[:2]
    offset = SEGMENT_STRIDE // 2
    coarse = np.array([[SEGMENT_STRIDE, 0.0, offset], [0.0, SEGMENT_STRIDE, offset], [0.0, 0.0, 1.0]])
    moved = np.column_stack([pixels, np.ones(len(pixels))]) @ change.T
    return (
        cv2.warpPerspective(image, change, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        moved[:, :2] / np.where(moved[:, 2:] > 0.0, moved[:, 2:], np.nan),
        cv2.warpPerspective(
            segments,
            np.linalg.inv(coarse) @ change @ coarse,
            segments.shape,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=_REST,
        ),
    )
