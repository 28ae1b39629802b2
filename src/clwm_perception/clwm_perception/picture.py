"""A picture and its features, worked out once: early, while other pictures are still on their way, or when read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[], NDArray[np.float16]]


class Picture:
    """One camera's picture with features (rows, columns, channels) float16."""

    def __init__(self, encode: Encode, executor: Executor) -> None:
        """encode: works the features out of the picture; runs on `executor`, and never for most pictures."""
        self._encode = encode
        self._executor = executor
        self._future: Future[NDArray[np.float16]] | None = None

    @property
    def is_started(self) -> bool:
        return self._future is not None

    def start(self) -> None:
        """Begin to encode, unless that was begun already. Raises RuntimeError when the executor was shut down."""
        if self._future is None:
            self._future = self._executor.submit(self._encode)

    def features(self) -> NDArray[np.float16]:
        """Wait for the features. Raises what encoding raised."""
        self.start()
        return self._future.result()
