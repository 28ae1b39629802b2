"""Which part of a camera's picture the encoder sees, and at what size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_perception.preprocess import ImageError


@dataclass(frozen=True)
class Window:
    """A part of a picture, px."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Framing:
    """crop, resize: as `CameraSource` has them. size: (height, width) that the encoder was trained on."""

    camera: str
    source: CameraSource
    size: tuple[int, int]

    def window(self, height: int, width: int) -> Window:
        """The part that is used of a picture of this size.

        Raises ImageError when it cannot become the encoder's: the encoder would stretch it in silence, and see a world
        of other proportions than in training.
        """
        window = self._cropped(height, width)
        found = (window.height, window.width)
        if found == self.size or self.source.resize == "stretch":
            return window
        cropped = "" if found == (height, width) else f", cropped to {window.width} x {window.height}"
        ours = f"{self.size[1]} x {self.size[0]}"
        problem = f"they are {width} x {height}{cropped}; the encoder was trained on {ours}: "
        if self.source.resize == "none":
            raise ImageError(
                f"{problem}set the camera to that size, or 'crop' and 'resize' of '{self.camera}' in 'camera_sources' "
                "of the robot's file"
            )
        # What rounding to whole pixels can do to the shorter side is no stretching.
        if abs(window.width * self.size[0] - window.height * self.size[1]) > max(self.size):
            raise ImageError(
                f"{problem}set 'crop' of '{self.camera}' in 'camera_sources' of the robot's file to a part of these "
                "proportions, such as centre, or 'resize' to stretch if stretched pictures will do"
            )
        return window

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width, 3) to (*size, 3). Raises ImageError as `window` does."""
        window = self.window(*picture.shape[:2])
        part = picture[window.top : window.top + window.height, window.left : window.left + window.width]
        if part.shape[:2] == self.size:
            return part
        shrinks = window.height >= self.size[0] and window.width >= self.size[1]
        return cv2.resize(part, self.size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def _cropped(self, height: int, width: int) -> Window:
        crop = self.source.crop
        if isinstance(crop, Crop):
            if crop.left + crop.width > width or crop.top + crop.height > height:
                raise ImageError(
                    f"they are {width} x {height}; 'crop' of '{self.camera}' reaches to {crop.left + crop.width} x "
                    f"{crop.top + crop.height}: correct it in 'camera_sources' of the robot's file"
                )
            return Window(crop.top, crop.left, crop.height, crop.width)
        if crop == "none":
            return Window(0, 0, height, width)
        rows, columns = self.size
        used_height = min(height, max(1, width * rows // columns))
        used_width = min(width, max(1, height * columns // rows))
        return Window((height - used_height) // 2, (width - used_width) // 2, used_height, used_width)
