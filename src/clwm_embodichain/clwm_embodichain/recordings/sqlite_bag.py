"""A rosbag2 file in SQLite, by Python's own library."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mcap.records import Schema

from clwm_common.recordings.reader import Decoders, Received, RecordingError


def topics_of(path: Path) -> dict[str, str]:
    """Type of every topic. Raises RecordingError."""
    rows = _query(path, "SELECT name, type FROM topics")
    return {name: kind for name, kind in rows}


def messages_of(path: Path, topics: Collection[str]) -> Iterator[Received]:
    """Decoded, in order of their times. Raises RecordingError."""
    known = {
        number: (name, kind, encoding)
        for number, name, kind, encoding in _query(path, "SELECT id, name, type, serialization_format FROM topics")
        if name in topics
    }
    decoders = Decoders(path)
    decode = {
        number: decoders.of(topic, encoding, Schema(number, _definition(path, topic, kind).encode(), "ros2msg", kind))
        for number, (topic, kind, encoding) in known.items()
    }
    marks = ",".join("?" * len(known))
    rows = _query(
        path, f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp", *known
    )
    for number, time, data in rows:
        yield Received(known[number][0], time, decode[number](data))


def _definition(path: Path, topic: str, kind: str) -> str:
    """Of the file, where rosbag2 has put it since Iron; else of the ROS installation."""
    if _query(path, "SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'", all_at_once=True):
        found = _query(
            path,
            "SELECT encoding, encoded_message_definition FROM message_definitions WHERE topic_type = ?",
            kind,
            all_at_once=True,
        )
        if found and found[0][0] == "ros2msg":
            return found[0][1]
    try:
        from clwm_common.ros.message_log import definition
    except ModuleNotFoundError:
        raise RecordingError(
            f"{path} does not define {kind} of topic {topic}, and there is no ROS that does; import it where ROS "
            "is, or convert it: ros2 bag convert, with storage_id mcap"
        ) from None
    try:
        return definition(kind)
    except LookupError as error:
        raise RecordingError(
            f"{path} does not define {kind} of topic {topic}, nor does ROS here ({error}); install its package"
        ) from None


def _query(path: Path, statement: str, *values: Any, all_at_once: bool = False) -> Any:
    rows = _rows(path, statement, *values)
    return list(rows) if all_at_once else rows


def _rows(path: Path, statement: str, *values: Any) -> Iterator[Any]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield from database.execute(statement, values)
    except sqlite3.Error as error:
        raise RecordingError(
            f"{path} is no rosbag2 file, or is cut short or damaged ({error}); copy it again"
        ) from None
