"""A camera's picture as JPEG, from the bytes of one message to the bytes of another.

Unpacking an Image into a Python object takes as long as half of its compression, so its few fields are read in place.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2

from clwm_perception.image_formats import RawPicture, from_raw
from clwm_perception.preprocess import ImageError

# How each becomes blue, green, red. Others would lose more than JPEG's own loss: depth, or what the sensor saw.
_TO_BGR = {
    "rgb8": cv2.COLOR_RGB2BGR,
    "bgr8": None,
    "rgba8": cv2.COLOR_RGBA2BGR,
    "bgra8": cv2.COLOR_BGRA2BGR,
    "mono8": None,
}
_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


@dataclass(frozen=True)
class _Image:
    header: bytes  # serialised
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: memoryview

    def picture(self) -> RawPicture:
        return from_raw(self.encoding, self.height, self.width, self.step, self.data, self.is_bigendian)


def compressed(message: bytes, quality: int, is_to_be_seen: bool = False) -> bytes:
    """A serialised sensor_msgs/CompressedImage with the JPEG of a serialised sensor_msgs/Image.

    quality: 1 to 100. is_to_be_seen: whatever perception takes becomes a picture in colour, and what is lost by that is
    not missed. Raises ImageError for an encoding or a size that cannot be, and for what is no Image.
    """
    image = _unpack(message)
    encoding = image.encoding
    if encoding in _TO_BGR:
        pixels, conversion = image.picture().values, _TO_BGR[encoding]
    elif is_to_be_seen:
        encoding, pixels, conversion = "rgb8", image.picture().rgb(), cv2.COLOR_RGB2BGR
    else:
        raise ImageError(f"encoding is '{encoding}'; expected one of {', '.join(_TO_BGR)}")
    if conversion is not None:
        pixels = cv2.cvtColor(pixels, conversion)
    done, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise ImageError(f"{image.width} x {image.height} pixels of {encoding} cannot be compressed")
    words = f"{encoding}; jpeg compressed {'mono8' if encoding == 'mono8' else 'bgr8'}".encode() + b"\0"
    out = bytearray(_LITTLE_ENDIAN + image.header)
    _align(out)
    out += struct.pack("<I", len(words)) + words
    _align(out)
    return bytes(out + struct.pack("<I", jpeg.size)) + jpeg.tobytes()


def _unpack(message: bytes) -> _Image:
    if message[:4] != _LITTLE_ENDIAN:
        raise ImageError("it is not serialised as little-endian CDR")
    body = memoryview(message)[4:]
    try:
        header_end = 12 + struct.unpack_from("<I", body, 8)[0]
        at = -(-header_end // 4) * 4
        height, width, length = struct.unpack_from("<III", body, at)
        encoding = bytes(body[at + 12 : at + 11 + length]).decode()
        is_bigendian = bool(body[at + 12 + length])
        at = -(-(at + 12 + length + 1) // 4) * 4
        step, size = struct.unpack_from("<II", body, at)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ImageError(f"it is not an Image ({error})") from None
    data = body[at + 8 : at + 8 + size]
    return _Image(bytes(body[:header_end]), height, width, encoding, is_bigendian, step, data)


def _align(out: bytearray) -> None:
    """CDR: numbers of four bytes begin at multiples of four, counted behind the first four bytes of all."""
    out += bytes(-(len(out) - 4) % 4)
