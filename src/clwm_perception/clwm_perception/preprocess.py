"""Pictures to network input: rescale, bilinear resize, ImageNet statistics. Ten lines instead of torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

NO_RESIZE, STRETCH = RESIZES = ("none", "stretch")
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


def check_size(height: int, width: int, size: tuple[int, int], resize: str) -> None:
    """Raise ImageError for a picture of another size than (height, width) `size`, unless `resize` is STRETCH.

    The encoder would stretch it in silence, and see a world of other proportions than in training.
    """
    if (height, width) != size and resize != STRETCH:
        raise ImageError(
            f"they are {width} x {height}; the encoder was trained on {size[1]} x {size[0]}: set the camera to "
            f"that size, or perception's 'resize' to '{STRETCH}' if stretched pictures will do"
        )


def from_raw(encoding: str, height: int, width: int, step: int, data: bytes) -> NDArray[np.uint8]:
    """View the fields of a sensor_msgs/Image as RGB (height, width, 3); rows may be padded to `step` bytes.

    Raises ImageError for an encoding other than rgb8 or bgr8, and for a size that contradicts the data.
    """
    if encoding not in ("rgb8", "bgr8"):
        raise ImageError(f"encoding is '{encoding}'; expected rgb8 or bgr8; have the camera's driver convert it")
    if height < 1 or width < 1:
        raise ImageError(f"the picture is {width} x {height} pixels; expected at least one; look at its driver")
    if step < 3 * width:
        raise ImageError(
            f"step is {step} bytes; expected at least {3 * width} for {width} pixels of {encoding}; have the driver "
            "set it to the length of a row"
        )
    if len(data) != height * step:
        raise ImageError(
            f"data has {len(data)} bytes; expected height x step = {height} x {step} = {height * step}; have the "
            "driver make height, step and data agree"
        )
    picture = np.frombuffer(data, dtype=np.uint8).reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    return picture if encoding == "rgb8" else picture[..., ::-1]
