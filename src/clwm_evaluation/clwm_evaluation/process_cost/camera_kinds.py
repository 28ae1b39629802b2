"""The kinds of cameras that are compared, and a picture as each of them sends it."""

from __future__ import annotations

import array
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image


@dataclass(frozen=True)
class Kind:
    """encoding: of a raw picture, or jpeg or png. width, height: px."""

    name: str
    encoding: str
    width: int
    height: int

    @property
    def is_compressed(self) -> bool:
        return self.encoding in ("jpeg", "png")

    def message(self) -> Any:
        """A picture with an image's gradients, edges and noise, unstamped."""
        picture = _picture(self.height, self.width)
        if self.is_compressed:
            extension = ".jpg" if self.encoding == "jpeg" else ".png"
            data = cv2.imencode(extension, picture[..., ::-1])[1].tobytes()
            return CompressedImage(format=f"rgb8; {self.encoding} compressed bgr8", data=array.array("B", data))
        rows = self._rows(picture)
        octets = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        message = Image(height=self.height, width=self.width, encoding=self.encoding, step=octets.shape[1])
        message.data = array.array("B", octets.tobytes())
        return message

    def _rows(self, picture: NDArray[np.uint8]) -> NDArray:
        match self.encoding:
            case "rgb8":
                return picture
            case "mono16":
                return picture[..., 0].astype("<u2") * 257
            case "yuv422_yuy2":
                return picture[..., :2]
            case "nv12":
                return np.vstack([picture[..., 0], picture[::2, :, 1]])
        return picture[..., 0]  # one value a pixel, as in a Bayer pattern


TODAY = Kind("rgb8, 128 x 128", "rgb8", 128, 128)
KINDS = (
    TODAY,
    *(
        Kind(f"{encoding}, 640 x 480", encoding, 640, 480)
        for encoding in ("rgb8", "bayer_rggb8", "yuv422_yuy2", "nv12", "mono16", "jpeg", "png")
    ),
)


def _picture(height: int, width: int) -> NDArray[np.uint8]:
    down, across = np.mgrid[:height, :width] / 20.0
    waves = np.stack([np.sin(across) * np.cos(down), np.sin(across / 3.0 + 1.0), np.cos(down / 2.0)], axis=-1)
    noise = np.random.default_rng(0).integers(-4, 5, waves.shape)
    picture = (128.0 + 90.0 * waves + noise).clip(0.0, 255.0).astype(np.uint8)
    picture[height // 3 : height // 2, width // 4 : width // 2] = (200, 30, 40)
    return picture
