"""Core messages (`clwm_common.messages`) to `clwm_msgs` and back.

Both forms of a message have the same name and fields; how a field is converted follows from its type in either.
Structure is checked here: sizes, enumerations, layout version, finite stamps. Values are not: whether a NaN in a chunk
stops the arms is for the core that receives it to decide. Sizes are compared before anything is allocated.
"""

from __future__ import annotations

import array
import dataclasses
import math
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, get_origin, get_type_hints

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rosidl_parser.definition import Array, BasicType, BoundedSequence, NamespacedType

from clwm_common import messages as core
from clwm_common.actions import ACTION_DIM, LAYOUT_VERSION, check_layout_version
from clwm_msgs import msg as ros


class ConversionError(ValueError):
    """A message whose fields contradict each other, or that cannot be expressed in the other form."""


def to_stamp(seconds: float) -> Time:
    """Seconds on the stack's clock to a ROS stamp, rounded to 1 ns. Raises ConversionError outside 0 .. 2^31 s."""
    if not math.isfinite(seconds) or not 0.0 <= seconds < 2**31 - 1:
        raise ConversionError(f"{seconds} s cannot be a stamp; expected a finite time from 0 to 2^31 s")
    whole = math.floor(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    carry, nanoseconds = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=whole + carry, nanosec=nanoseconds)


def from_stamp(stamp: Time) -> float:
    """ROS stamp to seconds; exact to 0.24 us for the times of a system clock."""
    return stamp.sec + stamp.nanosec * 1e-9


def to_msg(message: Any) -> Any:
    """The `clwm_msgs` message of a core message. Raises ConversionError when its arrays have the wrong shape."""
    form = _FORMS.get(type(message)) or _FORMS.get(type(message).__base__)
    if form is None:
        raise ConversionError(f"{type(message).__name__} has no ROS form; expected a class of clwm_common.messages")
    return form.to_ros(message)


def from_msg(message: Any) -> Any:
    """The core message of a `clwm_msgs` message. Raises ConversionError, or LayoutError for another layout version."""
    form = _FORMS.get(type(message))
    if form is None:
        raise ConversionError(f"{type(message).__name__} has no core form; expected a message of clwm_msgs")
    return form.to_core(message)


Conversion = Callable[[Any], Any]


class _Form:
    """One message in both forms. What only one of them has is for a subclass to say: `ros_extra` and `core_extra`."""

    def __init__(self, core_type: type) -> None:
        self._core, self._ros = core_type, getattr(ros, core_type.__name__)
        slots, hints = _slots(self._ros), get_type_hints(core_type, include_extras=True)
        self._has_layout = "layout_version" in slots
        shared = [name for name in hints if name in slots]
        ways = {name: way for name in shared if (way := _ways(name, hints[name], slots[name])) is not None}
        self._to_ros = [(name, way[0]) for name, way in ways.items()]
        self._to_core = [(name, way[1]) for name, way in ways.items()]
        self._plain = [name for name in shared if name not in ways]
        self._own = [name for name in hints if name not in slots]

    def to_ros(self, message: Any) -> Any:
        values = {"layout_version": LAYOUT_VERSION} if self._has_layout else {}
        values.update(vars(message))
        for name in self._own:
            del values[name]
        for name, convert in self._to_ros:
            values[name] = convert(values[name])
        return self._ros(**values, **self.ros_extra(message))

    def to_core(self, message: Any) -> Any:
        if self._has_layout:
            check_layout_version(message.layout_version)
        values = self.core_extra(message)
        for name in self._plain:
            values[name] = getattr(message, name)
        for name, convert in self._to_core:
            values[name] = convert(getattr(message, name))
        return self._core(**values)

    def ros_extra(self, message: Any) -> dict[str, Any]:
        return {}

    def core_extra(self, message: Any) -> dict[str, Any]:
        return {}


def _ways(name: str, annotation: Any, slot: Any) -> tuple[Conversion, Conversion] | None:
    """How a field gets to its ROS form and back; None when both are the same."""
    if isinstance(slot, NamespacedType) and slot.name != "Time":
        return lambda part: getattr(ros, slot.name)() if part is None else to_msg(part), from_msg
    if annotation == core.Instant:
        return lambda at: Time() if math.isnan(at) else to_stamp(at), lambda stamp: from_stamp(stamp) or math.nan
    if isinstance(slot, NamespacedType):
        return to_stamp, from_stamp
    if isinstance(slot, Array):
        boolean = slot.value_type.typename == "boolean"
        dtype = np.bool_ if boolean else np.float32
        return partial(_flags if boolean else _vector, name, slot.size, dtype), partial(np.asarray, dtype=dtype)
    if isinstance(slot, BoundedSequence) and isinstance(slot.value_type, BasicType):
        return partial(_flat_rows, name), partial(_rows, name)
    if get_origin(annotation) is tuple:
        return list, tuple
    if annotation == core.ForPeople:
        return partial(_cut, slot.maximum_size), str
    if isinstance(annotation, type) and issubclass(annotation, IntEnum):
        return int, partial(_enumeration, annotation, name)
    return None


class _FrameForm(_Form):
    def ros_extra(self, message: core.FeatureFrame) -> dict[str, Any]:
        features = np.ascontiguousarray(message.features, dtype="<f2")
        if features.ndim != 4 or features.shape[0] != len(message.cameras):
            raise ConversionError(
                f"features have shape {features.shape} for {len(message.cameras)} cameras; "
                "expected (cameras, rows, columns, channels)"
            )
        data = array.array("B")
        data.frombytes(memoryview(features).cast("B"))
        _, rows, columns, channels = features.shape
        return {"rows": rows, "columns": columns, "channels": channels, "data": data}

    def core_extra(self, message: ros.FeatureFrame) -> dict[str, Any]:
        shape = (len(message.cameras), message.rows, message.columns, message.channels)
        expected = 2 * math.prod(shape)
        if expected == 0 or len(message.data) != expected:
            raise ConversionError(
                f"feature frame of shape {shape} carries {len(message.data)} bytes; expected {expected}, more than none"
            )
        return {"features": np.frombuffer(message.data, dtype="<f2").reshape(shape)}


class _RequestForm(_Form):
    def to_ros(self, message: core.ChunkRequest) -> ros.ChunkRequest:
        if message.cancel:  # what else it says need not be expressible
            named = {name: getattr(message, name) for name in ("chunk_id", "task_epoch", "layout_version")}
            return ros.ChunkRequest(kind=ros.ChunkRequest.CANCEL, **named)
        return super().to_ros(message)

    def core_extra(self, message: ros.ChunkRequest) -> dict[str, Any]:
        if message.kind not in (ros.ChunkRequest.GENERATE, ros.ChunkRequest.CANCEL):
            raise ConversionError(f"chunk request of kind {message.kind}; expected GENERATE (0) or CANCEL (1)")
        return {"cancel": message.kind == ros.ChunkRequest.CANCEL}


class _ChunkForm(_Form):
    def ros_extra(self, message: core.ActionChunk) -> dict[str, Any]:
        return {"horizon": len(message.rows)}

    def core_extra(self, message: ros.ActionChunk) -> dict[str, Any]:
        if len(message.rows) != message.horizon * ACTION_DIM:
            raise ConversionError(
                f"chunk {message.chunk_id} carries {len(message.rows)} numbers; "
                f"expected {message.horizon} rows of {ACTION_DIM}"
            )
        return {}


class _TimelineForm(_Form):
    def ros_extra(self, message: core.ChunkTimeline) -> dict[str, Any]:
        return {"is_reported": message.report is not None}

    def to_core(self, message: ros.ChunkTimeline) -> core.ChunkTimeline:
        timeline = super().to_core(message)
        return timeline if message.is_reported else dataclasses.replace(timeline, report=None)


def _vector(name: str, width: int, dtype: type, values: Any) -> NDArray:
    vector = np.asarray(values, dtype=dtype)
    if vector.shape != (width,):
        raise ConversionError(f"{name} has shape {vector.shape}; expected ({width},)")
    return vector


def _flags(name: str, width: int, dtype: type, values: Any) -> list[bool]:
    return _vector(name, width, dtype, values).tolist()


def _flat_rows(name: str, rows: Any) -> array.array:
    """Rows (n, 30) as one float32 array; filling a message element by element would cost milliseconds."""
    matrix = np.ascontiguousarray(rows, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != ACTION_DIM:
        raise ConversionError(f"{name} has shape {matrix.shape}; expected (n, {ACTION_DIM})")
    flat = array.array("f")
    flat.frombytes(matrix.tobytes())
    return flat


def _rows(name: str, flat: array.array) -> NDArray[np.float32]:
    if len(flat) % ACTION_DIM:
        raise ConversionError(f"{name} carries {len(flat)} numbers; expected a multiple of {ACTION_DIM}")
    return (
        np.frombuffer(flat, dtype=np.float32).reshape(-1, ACTION_DIM)
        if len(flat)
        else np.zeros((0, ACTION_DIM), np.float32)
    )


def cut_text(text: str, message_type: Any, name: str) -> str:
    """`text` for people, cut to the field's bound in bytes: one that is longer would be refused at the other end."""
    return _cut(_slots(message_type)[name].maximum_size, text)


def _cut(bound: int, text: str) -> str:
    return text.encode()[:bound].decode(errors="ignore")


def _slots(message_type: Any) -> dict[str, Any]:
    return dict(zip(message_type.get_fields_and_field_types(), message_type.SLOT_TYPES, strict=True))


def _enumeration(kind: type[IntEnum], name: str, value: int) -> IntEnum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(f"{member.name} ({member.value})" for member in kind)
        raise ConversionError(f"{name} is {value}; expected one of {known}") from None


_SPECIAL = {
    core.FeatureFrame: _FrameForm,
    core.ChunkRequest: _RequestForm,
    core.ActionChunk: _ChunkForm,
    core.ChunkTimeline: _TimelineForm,
}
_FORMS: dict[type, _Form] = {}
for _core_type in vars(core).values():
    if dataclasses.is_dataclass(_core_type):
        _form = _SPECIAL.get(_core_type, _Form)(_core_type)
        _FORMS[_core_type] = _FORMS[getattr(ros, _core_type.__name__)] = _form
