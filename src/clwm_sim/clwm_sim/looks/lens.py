"""What a camera does to a picture: blur, exposure, white balance, noise, compression."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_sim.looks.looks import Lens

_SHIFTS = 1 << 16  # places in the grain where a picture's noise may start
_GRAIN_UNIT = 64.0


def develop(picture: NDArray[np.uint8], lens: Lens, seed: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture (height, width, 3) as this lens takes it; of the same seed the noise is the same."""
    if lens.blur > 0.0:
        picture = cv2.GaussianBlur(picture, (0, 0), lens.blur * picture.shape[1])
    if lens.exposure != 1.0 or lens.white_balance != (1.0, 1.0, 1.0):
        picture = cv2.LUT(picture, _response(lens.exposure, lens.white_balance))
    if lens.noise > 0.0:
        start = int(np.random.default_rng(seed).integers(_SHIFTS))
        grain = _grain(picture.size)[start : start + picture.size].reshape(picture.shape)
        picture = cv2.addWeighted(picture, 1.0, grain, lens.noise / _GRAIN_UNIT, 0.0, dtype=cv2.CV_8U)
    if lens.jpeg is not None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    return picture


@lru_cache(16)
def _response(exposure: float, white_balance: tuple[float, float, float]) -> NDArray[np.uint8]:
    """(1, 256, 3): what becomes of each level of red, green and blue."""
    levels = np.arange(256.0)[None, :, None] * exposure * np.asarray(white_balance)
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


@lru_cache(2)
def _grain(size: int) -> NDArray[np.int16]:
    """Normal noise of standard deviation _GRAIN_UNIT, enough for pictures of `size` numbers from any start.

    Drawn once: fresh numbers for each picture would take as long as drawing it.
    """
    noise = np.random.default_rng(0).standard_normal(size + _SHIFTS, dtype=np.float32)
    return np.round(_GRAIN_UNIT * noise).astype(np.int16)
