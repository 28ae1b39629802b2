"""What a camera does to a picture: blur, exposure, white balance, noise, compression."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_sim.looks.looks import Lens

_SHIFTS = 1 << 16  # places in the grain where a picture's noise may start


def develop(picture: NDArray[np.uint8], lens: Lens, seed: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture (height, width, 3) as this lens takes it; of the same seed the noise is the same."""
    if lens.blur > 0.0:
        picture = cv2.GaussianBlur(picture, (0, 0), lens.blur * picture.shape[1])
    if lens.exposure != 1.0 or lens.white_balance != (1.0, 1.0, 1.0):
        picture = cv2.transform(picture, lens.exposure * np.diag(lens.white_balance))
    if lens.noise > 0.0:
        start = int(np.random.default_rng(seed).integers(_SHIFTS))
        brighter, darker = (part[start : start + picture.size] for part in _grain(picture.size, lens.noise))
        picture = cv2.subtract(cv2.add(picture, brighter.reshape(picture.shape)), darker.reshape(picture.shape))
    if lens.jpeg is not None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg]
        # OpenCV takes red for blue and blue for red both times, which matters to no one.
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    return picture


@lru_cache(32)
def _grain(size: int, sigma: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What noise of this standard deviation adds and takes away, enough for pictures of `size` numbers from any start.

    Drawn once: fresh numbers for each picture would take as long as drawing it.
    """
    noise = np.round(sigma * _normal(size))
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)


@lru_cache(2)
def _normal(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(size + _SHIFTS, dtype=np.float32)
