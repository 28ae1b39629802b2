"""ROS messages in an MCAP file, as `ros2 bag` and Foxglove read it; every message's definition is in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from mcap.records import Channel, DataEnd, Footer, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import Writer
from rclpy.serialization import deserialize_message, serialize_message

_PROFILE, _SCHEMA_ENCODING, _MESSAGE_ENCODING = "ros2", "ros2msg", "cdr"
_PRIMITIVES = re.compile(r"(bool|byte|char|float(32|64)|u?int(8|16|32|64)|w?string)\b")


class LogError(ValueError):
    """A file that cannot be written, or read as what it should be; the message says what is wrong with it."""


class MessageLog:
    """Writes messages in the order they come. Close it, or the file counts as truncated.

    path: overwritten. metadata: kept in the file under `name`. Raises LogError when the file cannot be written.
    """

    def __init__(self, path: Path, name: str, metadata: Mapping[str, str]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            raise LogError(f"{path} cannot be written ({error.strerror}); choose another file") from None
        self._writer = Writer(self._file, enable_data_crcs=True)
        self._writer.start(profile=_PROFILE, library="clwm")
        self._writer.add_metadata(name, dict(metadata))
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._count = 0

    def write(self, topic: str, message: Any, stamp: float) -> None:
        """Add a ROS message; stamp: s on the stack's clock, for viewers."""
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(topic, _MESSAGE_ENCODING, self._schema(type(message)))
        nanoseconds = round(stamp * 1e9)
        self._writer.add_message(
            self._channels[topic], nanoseconds, serialize_message(message), nanoseconds, self._count
        )
        self._count += 1

    def close(self) -> None:
        """Write the index; safe to call twice."""
        if not self._file.closed:
            self._writer.finish()
            self._file.close()

    def _schema(self, kind: type) -> int:
        name = type_name(kind)
        if name not in self._schemas:
            self._schemas[name] = self._writer.register_schema(name, _SCHEMA_ENCODING, definition(name).encode())
        return self._schemas[name]


def read_log(path: Path, name: str, kinds: Mapping[str, type]) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    """A whole file: the metadata `name`, and (topic, message) of every topic in `kinds`, in the order written.

    Raises LogError for a file that is missing, truncated or damaged, has no such metadata, or whose messages had
    another definition than today's.
    """
    metadata: dict[str, str] | None = None
    messages: list[tuple[str, Any]] = []
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in _data(path):
        match record:
            case Metadata() if record.name == name:
                metadata = record.metadata
            case Schema():
                schemas[record.id] = record
            case Channel() if record.topic in kinds:
                _check_schema(path, record.topic, schemas[record.schema_id], kinds[record.topic])
                channels[record.id] = record
            case Message() if record.channel_id in channels:
                topic = channels[record.channel_id].topic
                messages.append((topic, deserialize_message(record.data, kinds[topic])))
    if metadata is None:
        raise LogError(f"{path} has no metadata '{name}'; it is not what --replay-log writes")
    return metadata, messages


def as_logged(message: Any) -> Any:
    """A ROS message as it comes back from a log: numbers have the precision of their fields."""
    return deserialize_message(serialize_message(message), type(message))


def serialised(message: Any) -> bytes:
    """A ROS message as it travels, and is kept."""
    return serialize_message(message)


def type_name(kind: type) -> str:
    """`clwm_msgs/msg/ActionChunk` of that class."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def definition(name: str) -> str:
    """The text of a message's definition and, below it, of all that it uses, as MCAP's `ros2msg` wants it."""
    text = _read(name)
    parts, seen, waiting = [text], {name}, _used(name, text)
    while waiting:
        used = waiting.pop(0)
        if used not in seen:
            seen.add(used)
            text = _read(used)
            parts.append(f"{'=' * 80}\nMSG: {used.replace('/msg/', '/')}\n{text}")
            waiting += _used(used, text)
    return "\n".join(parts)


def _read(name: str) -> str:
    package, _, kind = name.split("/")
    return (Path(get_package_share_directory(package)) / "msg" / f"{kind}.msg").read_text()


def _used(name: str, text: str) -> list[str]:
    """Names of the message types of the fields, in order."""
    used = []
    for line in text.splitlines():
        field = line.partition("#")[0].split()
        if field and "=" not in field[-1] and not _PRIMITIVES.match(field[0]):
            kind = field[0].partition("[")[0]
            package, _, short = kind.rpartition("/")
            used.append(f"{package.removesuffix('/msg') or name.split('/')[0]}/msg/{short}")
    return used


def _check_schema(path: Path, topic: str, found: Schema, kind: type) -> None:
    if found.name != type_name(kind):
        raise LogError(f"{path}: topic {topic} carries {found.name}; expected {type_name(kind)}")
    if found.data != definition(found.name).encode():
        raise LogError(f"{path}: {found.name} was defined otherwise when this was recorded; read it with that release")


def _data(path: Path) -> Iterator[Any]:
    """Every record of the data section of a file that is whole; not those of the index, which repeat some. LogError."""
    last, is_data = None, True
    try:
        with path.open("rb") as file:
            for last in StreamReader(file, validate_crcs=True).records:
                is_data = is_data and not isinstance(last, DataEnd)
                if is_data:
                    yield last
    except OSError as error:
        raise LogError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # the parser and its decompressors raise a dozen kinds for the same thing
        what = "is not an MCAP file" if last is None else "is truncated or damaged"
        raise LogError(f"{path} {what} ({type(error).__name__}: {error}); record it again") from error
    if not isinstance(last, Footer):
        raise LogError(f"{path} is truncated: it has no end; was the recorder killed?")
