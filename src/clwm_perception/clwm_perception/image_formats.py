"""What cameras send, as RGB pictures: every layout of pixels that is taken, raw or as JPEG and PNG, by OpenCV."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_perception.preprocess import ImageError

# OpenCV writes a line for every damaged picture; what is wrong with one is in the ImageError.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame's header, by kind of compression
_COLOURS_OF_FILE = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


@dataclass(frozen=True)
class _Layout:
    """conversion: OpenCV's to RGB; None when it is RGB. channels, depth: values a pixel, and bytes a value.

    rows, columns: height and width are multiples of these. planes: bytes of all planes to those of the first.
    """

    conversion: int | None
    channels: int
    depth: int = 1
    rows: int = 1
    columns: int = 1
    planes: float = 1.0


_OF_EIGHT_BITS = {
    "rgb": _Layout(None, 3),
    "bgr": _Layout(cv2.COLOR_BGR2RGB, 3),
    "rgba": _Layout(cv2.COLOR_RGBA2RGB, 4),
    "bgra": _Layout(cv2.COLOR_BGRA2RGB, 4),
    "mono": _Layout(cv2.COLOR_GRAY2RGB, 1),
    **{
        f"bayer_{pattern.lower()}": _Layout(getattr(cv2, f"COLOR_Bayer{pattern}2RGB"), 1, rows=2, columns=2)
        for pattern in ("RGGB", "BGGR", "GBRG", "GRBG")
    },
}
_LAYOUTS = {
    **{f"{name}8": layout for name, layout in _OF_EIGHT_BITS.items()},
    **{f"{name}16": _Layout(**{**vars(layout), "depth": 2}) for name, layout in _OF_EIGHT_BITS.items()},
    # sensor_msgs has two names for each order of 4:2:2: luma second, and luma first.
    **dict.fromkeys(("yuv422", "uyvy"), _Layout(cv2.COLOR_YUV2RGB_UYVY, 2, columns=2)),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), _Layout(cv2.COLOR_YUV2RGB_YUYV, 2, columns=2)),
    "nv12": _Layout(cv2.COLOR_YUV2RGB_NV12, 1, rows=2, columns=2, planes=1.5),
    "nv21": _Layout(cv2.COLOR_YUV2RGB_NV21, 1, rows=2, columns=2, planes=1.5),
}
ENCODINGS = tuple(_LAYOUTS)
FULL_DEPTH = 16  # significant bits of a value of 16


@dataclass(frozen=True)
class RawPicture:
    """A message whose fields agree. values: a view of it, (rows, width) or (rows, width, channels) of 8 or 16 bits."""

    height: int
    width: int
    values: NDArray
    conversion: int | None
    significant_bits: int = FULL_DEPTH

    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3); YUV is taken to be BT.601 of limited range."""
        values = self.values
        if values.dtype != np.uint8:
            # OpenCV reads the machine's own byte order only.
            own = values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
            values = cv2.convertScaleAbs(own, alpha=255.0 / (2**self.significant_bits - 1))
        return values if self.conversion is None else cv2.cvtColor(values, self.conversion)


@dataclass(frozen=True)
class PackedPicture:
    """A PNG whose bytes agree with their checksums, unpacked only when it is looked at."""

    height: int
    width: int
    declared: str
    data: bytes
    significant_bits: int

    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3). Raises ImageError: right checksums do not make it a picture."""
        return from_compressed(self.declared, self.data, significant_bits=self.significant_bits).rgb()


def from_raw(
    encoding: str,
    height: int,
    width: int,
    step: int,
    data: bytes,
    is_bigendian: bool = False,
    significant_bits: int = FULL_DEPTH,
) -> RawPicture:
    """View the fields of a sensor_msgs/Image; rows may be padded to `step` bytes.

    significant_bits: of a value of 16 bits. Raises ImageError for an encoding not in ENCODINGS, and for fields that
    contradict one another.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(
            f"encoding is '{encoding}'; expected one of {', '.join(ENCODINGS)}; have the camera's driver convert it"
        )
    _check_sides(encoding, height, width, layout)
    row = width * layout.channels * layout.depth
    if step < row or step % layout.depth:
        raise ImageError(
            f"step is {step} bytes; expected at least {row} for {width} pixels of {encoding}, whole values; have the "
            "driver set it to the length of a row"
        )
    rows = round(layout.planes * height)
    if len(data) != rows * step:
        planes = f" x {layout.planes:g}" if layout.planes != 1.0 else ""
        raise ImageError(
            f"data has {len(data)} bytes; expected height x step{planes} = {height} x {step}{planes} = {rows * step}; "
            "have the driver make height, step and data agree"
        )
    kind = np.dtype(np.uint8) if layout.depth == 1 else np.dtype(">u2" if is_bigendian else "<u2")
    values = np.frombuffer(data, kind).reshape(rows, step // layout.depth)[:, : width * layout.channels]
    if layout.channels > 1:
        values = values.reshape(rows, width, layout.channels)
    return RawPicture(height, width, values, layout.conversion, significant_bits)


def from_compressed(
    declared: str, data: bytes, largest: int | None = None, significant_bits: int = FULL_DEPTH, late: bool = False
) -> RawPicture | PackedPicture:
    """Unpack the data of a sensor_msgs/CompressedImage. What it is its first bytes say: JPEG or PNG.

    declared: its `format`, as image_transport writes it; where that says that a Bayer pattern was compressed, it is
    resolved. largest: bytes that it may unpack to, 3 a pixel. significant_bits: of a value of 16 bits. late: a PNG is
    not unpacked yet, only compared with its checksums; a JPEG has none.
    Raises ImageError for another kind, for one that is cut off, damaged or too large.
    """
    height, width = compressed_size(declared, data)
    if height < 1 or width < 1:
        raise ImageError(f"the picture is {width} x {height} pixels; expected at least one; look at its driver")
    if largest is not None and 3 * height * width > largest:
        raise ImageError(
            f"it unpacks to {width} x {height} pixels, {3 * height * width} bytes; expected at most {largest}: lower "
            "the camera's resolution, or raise perception's image_bytes in config/stack.yaml"
        )
    if late and data[:8] == _PNG:
        _require_checksums(data)
        return PackedPicture(height, width, declared, data, significant_bits)
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"it cannot be unpacked ({error.err}); look at the camera's driver and cable") from None
    if values is None or values.shape[:2] != (height, width):
        raise ImageError("it cannot be unpacked; look at the camera's driver and cable")
    encoding = declared.partition(";")[0].strip()
    channels = 1 if values.ndim == 2 else values.shape[2]
    conversion = _COLOURS_OF_FILE[channels]
    if channels == 1 and encoding.startswith("bayer_") and encoding in _LAYOUTS:
        _check_sides(encoding, height, width, _LAYOUTS[encoding])
        conversion = _LAYOUTS[encoding].conversion
    return RawPicture(height, width, values, conversion, significant_bits)


def compressed_size(declared: str, data: bytes) -> tuple[int, int]:
    """(height, width) that the header of a JPEG or PNG says. Raises ImageError for anything else."""
    if data[:8] == _PNG and len(data) >= 24:
        _require_whole(data, b"IEND", 8)
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if data[:3] == _JPEG:
        _require_whole(data, b"\xff\xd9", 2)
        return _jpeg_size(data)
    raise ImageError(
        f"format is '{declared}' and its data begins with {bytes(data[:4]).hex(' ') or 'nothing'}; expected a JPEG or "
        "a PNG; set image_transport's format of the camera to jpeg or png, or use its raw topic"
    )


def _require_whole(data: bytes, mark: bytes, tail: int) -> None:
    """libjpeg paints what is missing grey and says nothing; drivers may pad the end with zeros."""
    if mark not in data.rstrip(b"\0")[-tail:]:
        raise ImageError(f"its {len(data)} bytes are cut off before the end; look at the camera's driver and cable")


def _require_checksums(data: bytes) -> None:
    octets, place, kind = memoryview(data), len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", octets, place) if place + 8 <= len(octets) else (len(octets), b"")
        end = place + 8 + length
        if end + 4 > len(octets) or octets[end : end + 4] != struct.pack(">I", zlib.crc32(octets[place + 4 : end])):
            raise ImageError("its bytes do not agree with their checksums; look at the camera's driver and cable")
        place = end + 4


def _jpeg_size(data: bytes) -> tuple[int, int]:
    place = 2
    while (found := re.compile(rb"\xff+([^\x00\xff])").match(data, place)) is not None:
        marker, place = found.group(1)[0], found.end()
        if place + 7 > len(data):
            break
        if marker in _JPEG_SIZES:
            return struct.unpack(">HH", data[place + 3 : place + 7])
        place += struct.unpack(">H", data[place : place + 2])[0]
    raise ImageError("it is a JPEG without a header; look at the camera's driver and cable")


def _check_sides(encoding: str, height: int, width: int, layout: _Layout) -> None:
    if height < 1 or width < 1:
        raise ImageError(f"the picture is {width} x {height} pixels; expected at least one; look at its driver")
    if height % layout.rows or width % layout.columns:
        raise ImageError(
            f"the picture is {width} x {height} pixels; expected a multiple of {layout.columns} x {layout.rows} for "
            f"{encoding}; have the driver crop it"
        )
