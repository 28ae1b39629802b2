"""A recorded episode through an engine once more, and the first thing that came out differently."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from clwm_common.actions import CHANNEL_NAMES
from clwm_common.messages import ActionChunk, SaiReport
from clwm_policy.engine.engine import Engine
from clwm_policy.errors import EngineError
from clwm_policy.recording.episode_log import Entry, EpisodeStarted, Observed, PlayedStopwatch, Requested, Worked

T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """chunk_id: of the chunk asked for when it showed. what: the field, or row and channel."""

    chunk_id: int
    what: str
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        return f"chunk {self.chunk_id}, {self.what}: recorded {self.recorded}, replayed {self.replayed}"


@dataclass(frozen=True)
class Outcome:
    """How many finished chunks were compared, up to the first difference if there is one."""

    chunks: int
    difference: Difference | None


def replay(
    entries: Iterable[Entry],
    engine: Engine,
    stopwatch: PlayedStopwatch,
    as_recorded: Callable[[T], T] = lambda message: message,
    on_chunk: Callable[[], None] = lambda: None,
) -> Outcome:
    """Make the same calls and hold every chunk, report and refusal against what was recorded, bit for bit.

    engine: has seen nothing, and was made with `stopwatch`. as_recorded: a chunk or report as a file would give it
    back. Stops at the first difference.
    """
    chunks, chunk_id = 0, 0
    for entry in entries:
        if isinstance(entry.call, Requested):
            chunk_id = entry.call.request.chunk_id
        stopwatch.play(entry.readings)
        made, refusal = _again(entry, engine)
        if (difference := _compared(entry, chunk_id, made, refusal, as_recorded)) is not None:
            return Outcome(chunks, difference)
        if entry.chunk is not None:
            chunks += 1
            on_chunk()
    return Outcome(chunks, None)


def _again(entry: Entry, engine: Engine) -> tuple[tuple[ActionChunk, SaiReport] | int | None, str]:
    """What the call gives, and the EngineError that it raises: its name and, after a colon, its text."""
    try:
        match entry.call:
            case EpisodeStarted():
                engine.start_episode()
            case Requested(request) if request.cancel:
                engine.cancel(request.chunk_id)
            case Requested(request):
                engine.request(request)
            case Worked(steps):
                return sum(engine.advance() for _ in range(steps)), ""
            case Observed(frame, state, time_left):
                return (engine.finish(frame, state, time_left=time_left), engine.report()), ""
    except EngineError as error:
        return None, f"{type(error).__name__}: {error}"
    return None, ""


def _compared(entry: Entry, chunk_id: int, made: Any, refusal: str, as_recorded: Callable[[T], T]) -> Difference | None:
    if refusal.partition(":")[0] != entry.refusal:
        return Difference(chunk_id, "refusal", entry.refusal or "none", refusal or "none")
    if isinstance(entry.call, Worked) and made != entry.call.steps:
        return Difference(chunk_id, "steps of idle time", entry.call.steps, made)
    if entry.chunk is None:
        return None
    chunk, report = map(as_recorded, made)
    return _first(chunk_id, entry.chunk, chunk) or (
        None if entry.report is None else _first(chunk_id, entry.report, report)
    )


def _first(chunk_id: int, recorded: Any, replayed: Any) -> Difference | None:
    """Of two messages of one kind: rows first, then field by field."""
    for field in sorted(fields(recorded), key=lambda field: field.name != "rows"):
        one, other = getattr(recorded, field.name), getattr(replayed, field.name)
        if isinstance(one, np.ndarray):
            if (difference := _first_row(chunk_id, one, other)) is not None:
                return difference
        elif one != other and not (_is_nan(one) and _is_nan(other)):
            return Difference(chunk_id, field.name, one, other)
    return None


def _first_row(chunk_id: int, recorded: np.ndarray, replayed: np.ndarray) -> Difference | None:
    if recorded.shape != replayed.shape:
        return Difference(chunk_id, "shape of rows", recorded.shape, replayed.shape)
    # As bits: -0.0 and 0.0 are equal numbers and different results.
    apart = np.argwhere(recorded.view(np.uint32) != replayed.view(np.uint32))
    if not len(apart):
        return None
    row, channel = apart[0]
    name = f"row {row}, channel {channel} ({CHANNEL_NAMES[channel]})"
    return Difference(chunk_id, name, repr(float(recorded[row, channel])), repr(float(replayed[row, channel])))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
