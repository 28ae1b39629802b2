"""What a subscription lets in: a message is weighed as bytes before anything is unpacked from it.

The bounds in a `.msg` file alone do not do this: what the sender's type support checks, the receiver's does not.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from rclpy.serialization import deserialize_message
from rosidl_parser.definition import (
    AbstractNestedType,
    Array,
    BasicType,
    BoundedSequence,
    BoundedString,
    NamespacedType,
)

_ENCAPSULATION = 4  # bytes of every serialised message that say how the rest is laid out
_LENGTH = 4  # bytes of a sequence's or a string's length
_WIDTHS = {
    "boolean": 1, "octet": 1, "char": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
    "float": 4, "int64": 8, "uint64": 8, "double": 8,
}  # fmt: skip


class UnboundedType(TypeError):
    """A message type without an upper size, and nobody said what is too large."""


def largest(message_type: Any) -> int:
    """Upper bound of a serialised message's size in bytes, by the bounds in its `.msg` file.

    Raises UnboundedType, naming the field, when there is none.
    """
    return _ENCAPSULATION + _structure(message_type)


def intake(
    message_type: Any, max_bytes: int | None, callback: Callable[..., None], on_refused: Callable[[str], None]
) -> Callable[..., None]:
    """A callback for raw subscriptions: unpacks what is small enough and well formed, refuses the rest.

    max_bytes: None takes `largest` of the type. callback: as of any subscription, with the message, or with the
    message and its info. on_refused(reason) is told of every message that was not let in.
    Raises UnboundedType when there is no limit.
    """
    limit = largest(message_type) if max_bytes is None else max_bytes

    # rclpy sees by the signature whether a callback wants the info; `wraps` keeps it visible.
    @functools.wraps(callback)
    def take(data: bytes, *info: Any) -> None:
        if len(data) > limit:
            on_refused(f"{len(data)} bytes; expected at most {limit}")
            return
        try:
            message = deserialize_message(data, message_type)
        except RuntimeError as error:
            on_refused(f"{len(data)} bytes that are no {message_type.__name__} ({error})")
            return
        callback(message, *info)

    return take


def _structure(message_type: Any) -> int:
    total = 0
    for name, kind in zip(message_type.get_fields_and_field_types(), message_type.SLOT_TYPES, strict=True):
        try:
            total += _field(kind)
        except UnboundedType as error:
            place = str(error) or f"{message_type.__name__}.{name} has no upper bound"
            raise UnboundedType(f"{place}; give it one in its .msg file, or the subscription max_bytes") from None
    return total


def _field(kind: Any) -> int:
    """Size with the padding that a field may need before it."""
    match kind:
        case BasicType():
            return 2 * _WIDTHS[kind.typename] - 1
        case BoundedString():
            return _padded_length() + kind.maximum_size + 1
        case NamespacedType():
            return _structure(_class_of(kind))
        case Array():
            return _elements(kind, kind.size)
        case BoundedSequence():
            return _padded_length() + _elements(kind, kind.maximum_size)
    raise UnboundedType


def _elements(kind: AbstractNestedType, count: int) -> int:
    # Numbers in a row need padding before the first one only.
    width = _WIDTHS.get(getattr(kind.value_type, "typename", ""))
    return count * _field(kind.value_type) if width is None else count * width + width - 1


def _padded_length() -> int:
    return 2 * _LENGTH - 1


def _class_of(kind: NamespacedType) -> Any:
    return getattr(importlib.import_module(".".join(kind.namespaces)), kind.name)
