"""One picture of all cameras: what each sends, the part of it that is used, and what the encoder gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_perception.camera_reader import CameraPicture

_HEIGHT, _MARGIN, _LINE = 256, 8, 24  # px of a picture, around it, of the words above it
_USED, _INK = (255, 96, 0), (255, 255, 255)  # RGB


def write_sheet(path: Path, pictures: Mapping[str, CameraPicture]) -> None:
    """Write a PNG with a row for each camera. Raises OSError when it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", sheet(pictures)[..., ::-1])[1].tobytes())


def sheet(pictures: Mapping[str, CameraPicture]) -> NDArray[np.uint8]:
    """RGB (height, width, 3): beside each picture as it was sent, with a frame around what is used, that part alone."""
    rows = [_row(camera, picture) for camera, picture in pictures.items()]
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _row(camera: str, picture: CameraPicture) -> NDArray[np.uint8]:
    whole, window = picture.whole().copy(), picture.window
    thickness = max(1, round(2 * whole.shape[0] / _HEIGHT))
    corner, opposite = (window.left, window.top), (window.left + window.width - 1, window.top + window.height - 1)
    cv2.rectangle(whole, corner, opposite, _USED, thickness)
    parts = [(f"{camera}: {picture.size[1]} x {picture.size[0]}", whole)]
    if picture.framing is not None:
        pixels = picture.pixels()
        parts.append((f"used: {pixels.shape[1]} x {pixels.shape[0]}", pixels))
    return np.hstack([_labelled(text, _scaled(part)) for text, part in parts])


def _scaled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (max(1, round(width * _HEIGHT / height)), _HEIGHT), interpolation=cv2.INTER_NEAREST)


def _labelled(text: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    right = max(0, width - picture.shape[1]) + _MARGIN
    framed = np.pad(picture, ((_LINE, _MARGIN), (_MARGIN, right), (0, 0)))
    return cv2.putText(framed, text, (_MARGIN, _LINE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
