"""Where a serialised message ends: Fast DDS hands over some with bytes behind them that belong to nothing.

It reserves the padding of empty sequences of doubles and does not write it. Strict readers refuse such messages.
"""

from __future__ import annotations

import struct
from typing import Any

_HEADER = ("u4", "u4", "text")
_DOUBLES = ["u8"]
_POINT = (_DOUBLES, _DOUBLES, _DOUBLES, _DOUBLES, "u4", "u4")
# A tuple is a message by its fields, a list a sequence of what is in it; names are those of numbers by their bytes.
LAYOUTS: dict[str, Any] = {
    "sensor_msgs/msg/JointState": (_HEADER, ["text"], _DOUBLES, _DOUBLES, _DOUBLES),
    "trajectory_msgs/msg/JointTrajectory": (_HEADER, ["text"], [_POINT]),
    "std_msgs/msg/Float64MultiArray": (([("text", "u4", "u4")], "u4"), _DOUBLES),
}
_ENCAPSULATION = 4


def trimmed(layout: Any, data: bytes) -> bytes:
    """The bytes of a message of this layout without what follows it; as they are when they are not such a message."""
    body = memoryview(data)[_ENCAPSULATION:]
    try:
        end = _end(body, 0, layout)
    except struct.error:
        return data
    return data[: _ENCAPSULATION + end] if end <= len(body) else data


def _end(body: memoryview, at: int, layout: Any) -> int:
    if isinstance(layout, tuple):
        for part in layout:
            at = _end(body, at, part)
        return at
    if layout in ("u4", "u8"):
        size = int(layout[1:])
        return _aligned(at, size) + size
    count, at = struct.unpack_from("<I", body, _aligned(at, 4))[0], _aligned(at, 4) + 4
    if layout == "text":
        return at + count
    (each,) = layout
    if each == "u8":
        return _aligned(at, 8) + 8 * count if count else at
    for _ in range(min(count, len(body))):
        at = _end(body, at, each)
    return at


def _aligned(at: int, size: int) -> int:
    return -(-at // size) * size
