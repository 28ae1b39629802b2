"""Pictures of the size that a robot's file asks for, of those that are rendered smaller: a camera's amount of data."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_sim.cameras import CameraIntrinsics


class EnlargementError(ValueError):
    """What is rendered does not fit the robot's file; the message says both sizes."""


@dataclass(frozen=True)
class Enlargement:
    """Every pixel becomes `factor` x `factor` of them; around these, px of the picture's mirror image.

    Whoever cuts the middle out and shrinks it by area has the rendered picture again, bit for bit.
    """

    factor: int = 1
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    @classmethod
    def of(cls, camera: str, source: CameraSource, rendered: int) -> Enlargement:
        """Of square pictures of `rendered` px to what `source` asks for. Raises EnlargementError."""
        if source.simulated_size is None or not isinstance(source.crop, Crop):
            return cls()
        (width, height), crop = source.simulated_size, source.crop
        if crop.width % rendered:
            fitting = max(1, crop.width // rendered) * rendered
            raise EnlargementError(
                f"'crop' of camera '{camera}' is {crop.width} px wide and pictures are rendered with {rendered}; "
                f"expected a multiple, such as {fitting}, in 'camera_sources' of the robot's file"
            )
        right, bottom = width - crop.left - crop.width, height - crop.top - crop.height
        return cls(crop.width // rendered, crop.left, right, crop.top, bottom)

    def picture(self, rendered: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(size, size, 3) to (height, width, 3)."""
        if self == Enlargement():
            return rendered
        large = cv2.resize(rendered, None, fx=self.factor, fy=self.factor, interpolation=cv2.INTER_NEAREST)
        return cv2.copyMakeBorder(large, self.top, self.bottom, self.left, self.right, cv2.BORDER_REFLECT)

    def intrinsics(self, rendered: CameraIntrinsics) -> CameraIntrinsics:
        """Of the whole enlarged picture: the middle is true, what surrounds it is no picture of the world."""
        return CameraIntrinsics(
            self.left + self.factor * rendered.width + self.right,
            self.top + self.factor * rendered.height + self.bottom,
            self.factor * rendered.fx,
            self.factor * rendered.fy,
            self.left + self.factor * (rendered.cx + 0.5) - 0.5,
            self.top + self.factor * (rendered.cy + 0.5) - 0.5,
        )
