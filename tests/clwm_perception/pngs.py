"""PNGs as a driver with a fault writes them."""

import struct
import zlib


def with_wrong_pixels(png):
    """The same PNG with data that no picture packs to, under right checksums."""
    start = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[start - 4 : start])
    body = b"IDAT" + bytes(length)
    return png[:start] + body + struct.pack(">I", zlib.crc32(body)) + png[start + 8 + length :]
