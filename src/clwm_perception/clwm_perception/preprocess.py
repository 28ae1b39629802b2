"""Pictures to network input: rescale, bilinear resize, ImageNet statistics. Ten lines instead of torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageError(ValueError):
    """Pixels that are not a picture the encoder can take; the message names the shape or type that was received."""


@dataclass(frozen=True)
class Preprocessing:
    """What a checkpoint expects of its input: (height, width) in pixels, mean and deviation of each RGB channel."""

    size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Turn pictures (n, height, width, 3) uint8 RGB into (n, 3, *size) float32, normalised.

        Pictures of another size are resized bilinearly with antialiasing, as the Hugging Face processor of DINOv3 does.
        Raises ImageError for another shape or type.
        """
        import torch  # here, so that what a checkpoint expects can be read without it

        check_images(images)
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
        if tuple(pixels.shape[-2:]) != self.size:
            pixels = torch.nn.functional.interpolate(
                pixels, size=self.size, mode="bilinear", align_corners=False, antialias=True
            )
        mean = torch.tensor(self.mean, dtype=torch.float32).view(1, 3, 1, 1)
        std = torch.tensor(self.std, dtype=torch.float32).view(1, 3, 1, 1)
        return pixels.sub_(mean).div_(std)


def check_images(images: NDArray[np.uint8]) -> None:
    """Raise ImageError unless `images` is (n, height, width, 3) uint8 with n >= 1 and no empty side."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise ImageError(f"pictures are {kind}; expected a numpy array of uint8 RGB values")
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise ImageError(f"pictures have shape {images.shape}; expected (cameras, height, width, 3)")
