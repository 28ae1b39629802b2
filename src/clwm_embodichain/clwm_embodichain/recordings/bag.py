"""A rosbag2 bag, in MCAP or SQLite, of one file or several."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from clwm_common.files.config_files import ConfigFileError, read_yaml
from clwm_common.recordings.reader import Received, RecordingError, read_messages, read_topics
from clwm_embodichain.recordings import sqlite_bag

METADATA = "metadata.yaml"
_MCAP, _SQLITE = ".mcap", ".db3"


def bags(place: Path) -> list[Path]:
    """The bags in a place: it is one itself, or a folder of bags, or of single files. Raises RecordingError."""
    if place.is_file() or (place / METADATA).is_file():
        return [place]
    found = sorted(it.parent for it in place.glob(f"*/{METADATA}")) if place.is_dir() else []
    found += _files(place)
    if not found:
        what = "does not exist" if not place.exists() else "has no bag in it"
        raise RecordingError(f"{place} {what}; expected a folder with {METADATA}, or files *{_MCAP} or *{_SQLITE}")
    return found


class Bag:
    """topics: name -> type, such as `sensor_msgs/msg/JointState`. Raises RecordingError for what cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = [path] if path.is_file() else self._listed()
        self.topics: dict[str, str] = {}
        for part in self._parts:
            self.topics |= sqlite_bag.topics_of(part) if part.suffix == _SQLITE else read_topics(part)

    def messages(self, topics: Collection[str]) -> Iterator[Received]:
        """Decoded, part by part in order of their times."""
        for part in self._parts:
            read = sqlite_bag.messages_of if part.suffix == _SQLITE else read_messages
            yield from read(part, list(topics))

    def _listed(self) -> list[Path]:
        """The files that metadata.yaml lists; those that are there when it does not say."""
        try:
            about = read_yaml(self.path / METADATA)["rosbag2_bagfile_information"]
            listed, compression = about.get("relative_file_paths") or [], about.get("compression_mode") or ""
        except (ConfigFileError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(
                f"{self.path / METADATA} is not what rosbag2 writes ({error}); make it anew: ros2 bag reindex"
            ) from None
        if compression.lower() not in ("", "none"):
            raise RecordingError(
                f"{self.path} is compressed by rosbag2 (compression_mode {compression}); write it anew without: "
                "ros2 bag convert"
            )
        parts = [self.path / Path(name).name for name in listed] or _files(self.path)
        if missing := [part for part in parts if not part.is_file()]:
            raise RecordingError(f"{missing[0]} does not exist, and {METADATA} lists it; copy the whole bag")
        return parts


def _files(folder: Path) -> list[Path]:
    """In the order of the numbers in their names."""
    found = [it for it in folder.glob("*") if it.suffix in (_MCAP, _SQLITE)] if folder.is_dir() else []

    def order(path: Path) -> list[Any]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]

    return sorted(found, key=order)
