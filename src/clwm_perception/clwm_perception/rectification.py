"""What a CameraInfo is good for: straight pictures, and how much of the world is in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_perception.framing import Window
from clwm_perception.preprocess import ImageError

_COEFFICIENTS = {"": (0,), "plumb_bob": (0, 4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
_FISHEYE = "equidistant"


@dataclass(frozen=True)
class Calibration:
    """A camera's CameraInfo. k, r (3, 3); p (3, 3): the left part of its projection; d: distortion by `model`."""

    height: int
    width: int
    model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]

    @classmethod
    def from_info(cls, message: Any) -> Calibration:
        """Of a sensor_msgs/CameraInfo. Raises ImageError for one that cannot be used."""
        k, r = tuple(map(float, message.k)), tuple(map(float, message.r))
        p = tuple(np.reshape(message.p, (3, 4))[:, :3].ravel().tolist())
        if not (math.isfinite(sum(k)) and k[0] > 0.0 and k[4] > 0.0):
            raise ImageError("its CameraInfo has no focal length: k[0] and k[4] must be positive; calibrate the camera")
        counts = _COEFFICIENTS.get(message.distortion_model)
        if counts is None:
            raise ImageError(
                f"its CameraInfo has distortion_model '{message.distortion_model}'; expected one of "
                f"{', '.join(name for name in _COEFFICIENTS if name)}; calibrate the camera with one of them"
            )
        if len(message.d) not in counts:
            raise ImageError(
                f"its CameraInfo has {len(message.d)} coefficients d for '{message.distortion_model}'; expected "
                f"{' or '.join(map(str, counts))}; calibrate the camera again"
            )
        if message.binning_x > 1 or message.binning_y > 1 or message.roi.width or message.roi.height:
            raise ImageError(
                "its CameraInfo is of a binned picture or of a part of one, which is not rectified; let the driver "
                "send whole pictures, or set 'rectify' to false"
            )
        # All zero means not given.
        r = r if any(r) else tuple(np.eye(3).ravel())
        return cls(message.height, message.width, message.distortion_model, tuple(message.d), k, r, p if p[0] else k)

    @property
    def is_straight(self) -> bool:
        """Whether rectifying would change nothing."""
        return not any(self.d) and self.r == tuple(np.eye(3).ravel()) and self.p == self.k

    def field_of_view(self, window: Window, is_rectified: bool) -> tuple[float, float]:
        """(across, down) of a part of the picture, rad; of one that is not rectified without its distortion."""
        fx, _, cx, _, fy, cy = (self.p if is_rectified else self.k)[:6]
        left, top = window.left - 0.5 - cx, window.top - 0.5 - cy
        across = math.atan((left + window.width) / fx) - math.atan(left / fx)
        return across, math.atan((top + window.height) / fy) - math.atan(top / fy)


class Rectifier:
    """Makes pictures of one calibration straight."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        k, r, p = (np.reshape(each, (3, 3)) for each in (calibration.k, calibration.r, calibration.p))
        size = (calibration.width, calibration.height)
        prepare = cv2.fisheye if calibration.model == _FISHEYE else cv2
        self._maps = prepare.initUndistortRectifyMap(k, np.array(calibration.d), r, p, size, cv2.CV_16SC2)

    def check(self, height: int, width: int) -> None:
        """Raises ImageError for pictures of another size than the calibration's."""
        if (height, width) != (self.calibration.height, self.calibration.width):
            raise ImageError(
                f"they are {width} x {height}, and their CameraInfo is of {self.calibration.width} x "
                f"{self.calibration.height}; let the driver send both for one size"
            )

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width, 3), straight, of the same size; black where nothing was seen."""
        return cv2.remap(picture, *self._maps, cv2.INTER_LINEAR)
