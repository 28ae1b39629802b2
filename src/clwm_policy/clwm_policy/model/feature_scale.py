"""Between an encoder's features and the normalised ones the model sees, and between two features and their residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from clwm_policy.model.stored import stored

Channels = stored(np.float32, None)


@dataclass(frozen=True)
class FeatureScale:
    """Per-channel statistics of the training features: mean, std and residual_std, each (C,).

    The residual f_{t+H} - f_t is normalised after the features are, by residual_std.
    """

    mean: Channels
    std: Channels
    residual_std: Channels

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
        return (following - present) / torch.from_numpy(self.residual_std).to(present.device)

    def apply(self, present: Tensor, residual: Tensor) -> Tensor:
        """The predicted normalised feature f^ (..., tokens, C)."""
        return present + residual * torch.from_numpy(self.residual_std).to(present.device)


def check_statistics(scale: FeatureScale) -> FeatureScale:
    """Raises ValueError when the three are not equally long, or a deviation is not above zero."""
    if len({len(scale.mean), len(scale.std), len(scale.residual_std)}) > 1:
        shapes = [array.shape for array in (scale.mean, scale.std, scale.residual_std)]
        raise ValueError(f"statistics have shapes {shapes}; expected three of (C,)")
    for name in ("std", "residual_std"):
        if not (array := getattr(scale, name)).min(initial=1.0) > 0.0:
            raise ValueError(f"{name} of channel {array.argmin()} is {array.min()}; expected more than 0")
    return scale


def relative_error(predicted: Tensor, actual: Tensor) -> float:
    """||f^ - f|| / ||f|| over normalised features."""
    difference, size = torch.linalg.vector_norm(predicted - actual), torch.linalg.vector_norm(actual)
    return float(difference) / max(float(size), 1e-12)
