"""Between an encoder's features and the normalised ones the model sees, and between two features and their residual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


@dataclass(frozen=True)
class FeatureScale:
    """Per-channel statistics of the training features: mean, std and residual_std, each (C,).

    The residual f_{t+H} - f_t is normalised after the features are, by residual_std.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    residual_std: NDArray[np.float32]

    @property
    def channels(self) -> int:
        return len(self.mean)

    def normalise(self, features: ArrayLike) -> Tensor:
        """Encoder features (..., cameras, rows, columns, C) of any float type to float32 (..., tokens, C).

        Raises ValueError when C is not what the statistics were made for.
        """
        array = np.asarray(features, dtype=np.float32)
        if array.shape[-1] != self.channels:
            raise ValueError(
                f"features have {array.shape[-1]} channels; the policy was trained on {self.channels}: "
                "use the encoder the policy names"
            )
        array = (array - self.mean) / self.std
        return torch.from_numpy(array.reshape(*array.shape[:-4], -1, self.channels))

    def residual(self, present: Tensor, following: Tensor) -> Tensor:
        """What stage 1 predicts, from normalised features (..., tokens, C)."""
        return (following - present) / torch.from_numpy(self.residual_std)

    def apply(self, present: Tensor, residual: Tensor) -> Tensor:
        """The predicted normalised feature f^ (..., tokens, C)."""
        return present + residual * torch.from_numpy(self.residual_std)

    def to_json(self) -> dict[str, list[float]]:
        return {name: getattr(self, name).tolist() for name in ("mean", "std", "residual_std")}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]]) -> FeatureScale:
        """Raises ValueError when the three are not equally long."""
        arrays = [np.asarray(data[name], dtype=np.float32) for name in ("mean", "std", "residual_std")]
        if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
            raise ValueError(
                f"feature statistics have shapes {[array.shape for array in arrays]}; expected three of (C,)"
            )
        return cls(*arrays)


def relative_error(predicted: Tensor, actual: Tensor) -> float:
    """||f^ - f|| / ||f|| over normalised features."""
    return float((predicted - actual).norm() / actual.norm().clamp(min=1e-12))
