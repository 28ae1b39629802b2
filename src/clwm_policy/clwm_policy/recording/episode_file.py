"""A recorded episode as an MCAP file: the stack's own messages on its own topics, and what else decided the chunks.

    /clwm/chunk_request, feature_frame, state     what the engine was asked, and what it was given, in that order
    /clwm/action_chunk, sai_report                what it answered
    /clwm/engine/...                              idle steps, seconds left, stopwatch, refusals, beginnings of episodes

A feature frame is followed by the one state that was paired with it. Only what reached the engine is here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from std_msgs.msg import Empty, Float64, Float64MultiArray, String, UInt32

from clwm_common import messages as core
from clwm_common.actions import LayoutError
from clwm_common.clocks import MonotonicClock
from clwm_common.ros.conversions import ConversionError, from_msg, to_msg
from clwm_common.ros.message_log import LogError, MessageLog, as_logged, read_log
from clwm_msgs import msg as ros
from clwm_policy.backends.choice import Choice
from clwm_policy.engine.facts import DECISIVE
from clwm_policy.loading import PolicySettings, load_engine
from clwm_policy.recording.episode_log import (
    Entry,
    EpisodeStarted,
    Observed,
    RecordedEngine,
    RecordedStopwatch,
    RecordingError,
    Requested,
    Worked,
)

T = TypeVar("T")

FORMAT = "clwm-episode/1"
METADATA = "clwm_engine"


class Topic:
    """What is in the file."""

    REQUEST, FRAME, STATE = "/clwm/chunk_request", "/clwm/feature_frame", "/clwm/state"
    CHUNK, REPORT = "/clwm/action_chunk", "/clwm/sai_report"
    BEGIN, STEPS, TIME_LEFT = "/clwm/engine/start_episode", "/clwm/engine/idle_steps", "/clwm/engine/time_left"
    READINGS, REFUSAL = "/clwm/engine/stopwatch", "/clwm/engine/refusal"


KINDS = {
    Topic.REQUEST: ros.ChunkRequest,
    Topic.FRAME: ros.FeatureFrame,
    Topic.STATE: ros.DualArmState,
    Topic.CHUNK: ros.ActionChunk,
    Topic.REPORT: ros.SaiReport,
    Topic.BEGIN: Empty,
    Topic.STEPS: UInt32,
    Topic.TIME_LEFT: Float64,
    Topic.READINGS: Float64MultiArray,
    Topic.REFUSAL: String,
}


class EpisodeFileError(ValueError):
    """An episode that cannot be replayed; the message says what is missing or different."""


class EpisodeFile:
    """Writes entries as they come; stamped with the newest capture time so far. Raises RecordingError."""

    def __init__(self, path: Path, facts: Mapping[str, str]) -> None:
        try:
            self._log = MessageLog(path, METADATA, {"format": FORMAT, **facts})
        except LogError as error:
            raise RecordingError(str(error)) from error
        self._stamp = 0.0

    def write(self, entry: Entry) -> None:
        """Add one call and what came of it."""
        match entry.call:
            case EpisodeStarted():
                self._add(Topic.BEGIN, Empty())
            case Requested(request):
                self._add(Topic.REQUEST, to_msg(request))
            case Worked(steps):
                self._add(Topic.STEPS, UInt32(data=steps))
            case Observed(frame, state, time_left):
                self._stamp = frame.stamp
                self._add(Topic.FRAME, to_msg(frame))
                self._add(Topic.STATE, to_msg(state))
                self._add(Topic.TIME_LEFT, Float64(data=time_left))
        if entry.readings:
            self._add(Topic.READINGS, Float64MultiArray(data=entry.readings))
        if entry.refusal:
            self._add(Topic.REFUSAL, String(data=entry.refusal))
        if entry.chunk is not None:
            self._add(Topic.CHUNK, to_msg(entry.chunk))
        if entry.report is not None:
            self._add(Topic.REPORT, to_msg(entry.report))

    def close(self) -> None:
        """Write the end, without which the file counts as truncated."""
        self._log.close()

    def _add(self, topic: str, message: Any) -> None:
        self._log.write(topic, message, self._stamp)


def load_recorded_engine(
    settings: PolicySettings, path: Path, on_choice: Callable[[Choice], None] | None = None
) -> RecordedEngine:
    """`load_engine`, and everything that the engine does from then on goes to `path`. Raises RecordingError as well."""
    stopwatch = RecordedStopwatch(MonotonicClock().now)
    engine = load_engine(settings, stopwatch=stopwatch, on_choice=on_choice)
    return RecordedEngine(engine, stopwatch, EpisodeFile(path, engine.facts))


def free_path(path: Path) -> Path:
    """`path`, or with the first number behind its name that no file has yet."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())


def read_episode(path: Path) -> tuple[dict[str, str], list[Entry]]:
    """Facts and entries of a recorded episode. Raises EpisodeFileError."""
    try:
        facts, messages = read_log(path, METADATA, KINDS)
    except LogError as error:
        raise EpisodeFileError(str(error)) from error
    if facts.get("format") != FORMAT:
        raise EpisodeFileError(f"{path} has format '{facts.get('format')}'; expected '{FORMAT}': record it again")
    if missing := [name for name in DECISIVE if name not in facts]:
        raise EpisodeFileError(f"{path} does not say {', '.join(missing)}; record it again")
    present = {topic for topic, _ in messages}
    if missing := [topic for topic in (Topic.REQUEST, Topic.FRAME, Topic.STATE, Topic.CHUNK) if topic not in present]:
        raise EpisodeFileError(f"{path} has no message on {', '.join(missing)}; record an episode with finished chunks")
    try:
        return facts, _entries(messages)
    except (ConversionError, LayoutError, _Misplaced) as error:
        raise EpisodeFileError(f"{path}: {error}; record it again") from error


def check_facts(path: Path, recorded: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """What differs without deciding, for people. Raises EpisodeFileError, naming both, when something decisive does."""
    for name in DECISIVE:
        if recorded[name] != present[name]:
            raise EpisodeFileError(
                f"{path} was recorded with {name} {_short(recorded[name])}, the engine here has "
                f"{_short(present[name])}; replay it with what it was recorded with"
            )
    return [
        f"recorded with {name} '{recorded[name]}', replayed with '{present[name]}': bits may differ"
        for name in present.keys() & recorded.keys()
        if recorded[name] != present[name]
    ]


def as_recorded(message: T) -> T:
    """A chunk or report with the precision that a message has."""
    return from_msg(as_logged(to_msg(message)))


class _Misplaced(ValueError):
    pass


def _entries(messages: list[tuple[str, Any]]) -> list[Entry]:
    entries: list[Entry] = []
    frame: core.FeatureFrame | None = None
    state: core.DualArmState | None = None
    for topic, message in messages:
        match topic:
            case Topic.REQUEST:
                entries.append(Entry(Requested(from_msg(message))))
            case Topic.BEGIN:
                entries.append(Entry(EpisodeStarted()))
            case Topic.STEPS:
                entries.append(Entry(Worked(message.data)))
            case Topic.FRAME:
                frame, state = from_msg(message), None
            case Topic.STATE:
                state = from_msg(message)
            case Topic.TIME_LEFT:
                if frame is None or state is None:
                    raise _Misplaced("an observation lacks its frame or its state")
                entries.append(Entry(Observed(frame, state, message.data)))
                frame = state = None
            case _ if not entries:
                raise _Misplaced(f"a message on {topic} comes before any call")
            case _:
                entries[-1] = _with(entries[-1], topic, message)
    return entries


def _with(entry: Entry, topic: str, message: Any) -> Entry:
    if topic == Topic.READINGS:
        return replace(entry, readings=tuple(np.asarray(message.data).tolist()))
    if topic == Topic.REFUSAL:
        return replace(entry, refusal=message.data)
    if not isinstance(entry.call, Observed):
        raise _Misplaced(f"a message on {topic} does not follow an observation")
    return replace(entry, **{"chunk" if topic == Topic.CHUNK else "report": from_msg(message)})


def _short(value: str) -> str:
    return f"{value[:12]}..." if len(value) > 40 else value or "none"
