"""Pictures of any camera to JPEG, no larger than a page shows them."""

from __future__ import annotations

import cv2

from clwm_perception.image_formats import RawPicture

JPEG = b"\xff\xd8"  # what every one begins with
QUALITY = 80  # of JPEG
WIDEST = 640  # px


def as_jpeg(picture: RawPicture) -> bytes:
    """The picture as JPEG, at most WIDEST wide."""
    rgb = picture.rgb()
    if picture.width > WIDEST:
        size = WIDEST, max(1, round(picture.height * WIDEST / picture.width))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
