"""The shipped encoder with a quarter of its cells: for policies that must see many observations at little cost."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ImageEncoder(Protocol):
    """What a clwm_perception Encoder offers."""

    encoder_id: str
    weights_hash: str

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]: ...


class CoarseEncoder:
    """Averages every 2 x 2 cells of `encoder`'s features, which is what it would give if it pooled twice as many."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self.encoder_id, self.weights_hash = encoder.encoder_id, encoder.weights_hash

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """(cameras, rows / 2, columns / 2, C) float16 of pictures (cameras, height, width, 3)."""
        features = self._encoder(images).astype(np.float32)
        cameras, rows, columns, channels = features.shape
        cells = features.reshape(cameras, rows // 2, 2, columns // 2, 2, channels)
        return cells.mean((2, 4)).astype(np.float16)
