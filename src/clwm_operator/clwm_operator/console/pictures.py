"""Raw pictures to JPEG, no larger than a page shows them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG = b"\xff\xd8"  # what every one begins with
QUALITY = 80  # of JPEG
WIDEST = 640  # px
_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_TO_BGR = {"rgb8": cv2.COLOR_RGB2BGR, "rgba8": cv2.COLOR_RGBA2BGR, "bgra8": cv2.COLOR_BGRA2BGR}


class PictureError(ValueError):
    """A picture that cannot be shown; the message says why."""


def as_jpeg(data: NDArray[np.uint8], encoding: str, height: int, width: int, step: int) -> bytes:
    """JPEG of a picture in one of ROS's raw encodings; step: bytes from row to row. Raises PictureError."""
    channels = _CHANNELS.get(encoding)
    if channels is None:
        raise PictureError(f"its encoding is '{encoding[:40]}'; shown are {', '.join(_CHANNELS)}")
    if not 0 < height * width or step < width * channels or data.size < height * step:
        raise PictureError(f"{data.size} bytes for {width} x {height} pixels in rows of {step}")
    picture = data[: height * step].reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    if width > WIDEST:
        size = WIDEST, max(1, round(height * WIDEST / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if encoding in _TO_BGR:
        picture = cv2.cvtColor(picture, _TO_BGR[encoding])
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
