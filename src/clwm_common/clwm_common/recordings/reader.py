"""Reads recordings, with or without ROS: the messages' definitions are in the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mcap.reader import McapReader, make_reader
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory

from clwm_common.messages import Mode
from clwm_common.recordings.corrections import Correction, corrections_of
from clwm_common.recordings.names import FACTS, FORMAT, MODE, SUFFIX, SUMMARY, VERDICT
from clwm_common.verdicts import OWN_ESTIMATE

TELEOP = 1  # of ModeStatus and DualArmState
SUCCEEDED, FAILED = 1, 2  # of Verdict


class RecordingError(ValueError):
    """A recording that cannot be read; the message names the file, what is wrong with it, and what helps."""


@dataclass(frozen=True)
class Recording:
    """What a file says of itself. facts: by `clwm record`. verdict: success, failure, or empty when nobody judged.

    seconds: from the task's beginning. has_index: its recorder came to the end. topics: of each then how many messages
    came, how often, with which longest gap, and how many were lost.
    """

    path: Path
    facts: Mapping[str, str]
    seconds: float
    verdict: str
    judge: str
    interventions: int
    human_seconds: float
    has_index: bool
    topics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def instruction(self) -> str:
        return self.facts["instruction"]

    @property
    def epoch(self) -> int:
        """Of the task that it is a recording of."""
        return int(self.facts["task_epoch"])


@dataclass(frozen=True)
class Received:
    """A message, and when it came [ns]."""

    topic: str
    time: int
    message: Any


def recording_files(places: Collection[Path]) -> list[Path]:
    """The recordings among files and in folders, by name. Raises RecordingError for a place without any."""
    found: list[Path] = []
    for place in places:
        here = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
        if not here or not here[0].is_file():
            what = "has no recording in it" if place.is_dir() else "does not exist"
            raise RecordingError(f"{place} {what}; make some with `clwm record`")
        found += here
    return found


def read_recording(path: Path) -> Recording:
    """What is known of a recording. Raises RecordingError for what is none."""
    with _reader(path) as reader:
        known = {record.name: record.metadata for record in reader.iter_metadata()}
        if (facts := known.get(FACTS)) is None or facts.get("format") != FORMAT:
            raise RecordingError(f"{path} is no recording of `clwm record`; import another bag by a map of its topics")
        if (summary := known.get(SUMMARY)) is not None:
            return Recording(
                path,
                facts,
                float(summary["seconds"]),
                summary["verdict"],
                summary["judge"],
                int(summary["interventions"]),
                float(summary["human_seconds"]),
                has_index=True,
                topics=json.loads(summary["topics"]),
            )
    return _looked_through(path, facts)


def read_topics(path: Path) -> dict[str, str]:
    """The type of every topic in an MCAP file. Raises RecordingError."""
    with _reader(path) as reader:
        if (found := reader.get_summary()) is not None and found.channels:
            kinds = {it.id: it.name for it in found.schemas.values()}
            return {it.topic: kinds.get(it.schema_id, "") for it in found.channels.values()}
        return {channel.topic: schema.name if schema else "" for schema, channel, _ in reader.iter_messages()}


def read_messages(path: Path, topics: Collection[str]) -> Iterator[Received]:
    """Decoded messages of these topics, in the order in which they came. Raises RecordingError."""
    decoders = Decoders(path)
    with _reader(path) as reader:
        for schema, channel, message in reader.iter_messages(list(topics)):
            decode = decoders.of(channel.topic, channel.message_encoding, schema)
            yield Received(channel.topic, message.log_time, decode(message.data))


class Decoders:
    """By the definitions that come with messages, each read once."""

    def __init__(self, path: Path) -> None:
        """path: for people."""
        self._path = path
        self._factory = DecoderFactory()

    def of(self, topic: str, encoding: str, schema: Schema | None) -> Callable[[bytes], Any]:
        """What unpacks a message of this topic. Raises RecordingError when nothing does."""
        decode = self._factory.decoder_for(encoding, schema)
        if decode is None:
            raise RecordingError(
                f"{self._path}: topic {topic} is encoded as '{encoding}', by a definition in "
                f"'{schema.encoding if schema else 'none'}'; expected cdr and ros2msg"
            )
        return decode


def read_corrections(path: Path) -> list[Correction]:
    """What humans did in a recording, by its modes, without what people say of it. Raises RecordingError."""
    return corrections_of((it.time, Mode(it.message.mode)) for it in read_messages(path, (MODE,)))


def read_attachment(path: Path, name: str) -> bytes:
    """A file in the recording. Raises RecordingError when there is none."""
    with _reader(path) as reader:
        for attachment in reader.iter_attachments():
            if attachment.name == name:
                return attachment.data
    raise RecordingError(f"{path} has no attachment {name}; record it again with this release")


def _looked_through(path: Path, facts: Mapping[str, str]) -> Recording:
    """Of a recording without a summary."""
    began, last = float(facts["began"]), 0.0
    with _reader(path) as reader:
        for _, _, message in reader.iter_messages():
            last = message.log_time * 1e-9
    human_since, human, interventions = None, 0.0, 0
    verdict, judge = "", ""
    for it in read_messages(path, (MODE, VERDICT)):
        time = it.time * 1e-9
        if it.topic == VERDICT:
            is_of_this = it.message.task_epoch == int(facts["task_epoch"]) and it.message.judge != OWN_ESTIMATE
            if is_of_this and it.message.outcome in (SUCCEEDED, FAILED):
                verdict, judge = ("success" if it.message.outcome == SUCCEEDED else "failure"), it.message.judge
        elif it.message.mode == TELEOP:
            human_since = time if human_since is None else human_since
        elif human_since is not None:
            human, interventions, human_since = human + time - human_since, interventions + 1, None
    if human_since is not None:
        human, interventions = human + last - human_since, interventions + 1
    return Recording(path, facts, max(0.0, last - began), verdict, judge, interventions, human, has_index=False)


@contextmanager
def _reader(path: Path) -> Iterator[McapReader]:
    file: IO[bytes] | None = None
    try:
        file = path.open("rb")
        yield make_reader(file)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror or error})") from None
    except RecordingError:
        raise
    except Exception as error:  # the parser raises a dozen kinds for the same thing
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        raise RecordingError(f"{path} is no MCAP file, or is cut short or damaged ({why}); copy it again") from error
    finally:
        if file is not None:
            file.close()
