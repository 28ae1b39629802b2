"""Pictures of all cameras to one grid of features: the core that the perception node, data engine and tests share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clwm_perception.backends import Backend, PooledEncoder, TorchBackend, open_onnx
from clwm_perception.checkpoint import POOL, EncoderCheckpoint, EncoderError, open_checkpoint
from clwm_perception.preprocess import ImageError

_log = logging.getLogger(__name__)
BACKENDS = ("auto", "torch", "onnxruntime")


class Encoder:
    """A loaded encoder. Calling it encodes pictures; several threads may do so at once.

    backend_note says which backend runs and, when it is not the one asked for, why.
    """

    def __init__(self, checkpoint: EncoderCheckpoint, backend: Backend, pool: int, backend_note: str) -> None:
        self.checkpoint = checkpoint
        self.pool = pool
        self.backend_note = backend_note
        self._backend = backend

    @classmethod
    def load(cls, folder: str | Path, backend: str = "auto", pool: int = POOL) -> Encoder:
        """Open `folder` and prepare it for pictures of its size.

        backend: 'torch', 'onnxruntime', or 'auto': ONNX Runtime when it can be had, else torch with a warning.
        pool: side of the square of patch tokens that one feature is the mean of.
        Raises EncoderError for a folder, backend or pool factor that cannot be used.
        """
        if backend not in BACKENDS:
            raise EncoderError(f"backend {backend!r} is unknown; expected one of {', '.join(BACKENDS)}")
        checkpoint = open_checkpoint(folder)
        checkpoint.grid(pool)
        model = checkpoint.load_model()
        network = PooledEncoder(model, pool).eval()
        if backend == "torch":
            return cls(checkpoint, TorchBackend(network), pool, "torch")
        try:
            return cls(checkpoint, open_onnx(checkpoint, network), pool, "onnxruntime")
        except (EncoderError, ImportError) as error:
            if backend == "onnxruntime":
                raise EncoderError(f"backend onnxruntime: {error}") from error
            note = f"torch, because ONNX Runtime cannot be used: {error}"
            _log.warning("encoder runs on %s", note)
            return cls(checkpoint, TorchBackend(network), pool, note)

    @property
    def encoder_id(self) -> str:
        return self.checkpoint.encoder_id

    @property
    def weights_hash(self) -> str:
        return self.checkpoint.weights_hash

    @property
    def backend_name(self) -> str:
        return self._backend.name

    def __call__(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
        """Encode n pictures (height, width, 3) uint8 RGB to (n, rows, columns, channels) float16.

        The pictures may differ in size. Raises EncoderError for pictures of another shape or type, and for features
        beyond the range of float16.
        """
        try:
            if isinstance(images, np.ndarray):
                pixels = self.checkpoint.preprocessing(images)
            else:
                pixels = torch.cat([self.checkpoint.preprocessing(np.asarray(image)[None]) for image in images])
        except ImageError as error:
            raise EncoderError(str(error)) from None
        features = self._backend(pixels)
        if not np.abs(features).max() <= np.finfo(np.float16).max:
            raise EncoderError(
                "features are not finite in float16; the weights are damaged or not of the DINOv3 family"
            )
        return features.astype(np.float16)
