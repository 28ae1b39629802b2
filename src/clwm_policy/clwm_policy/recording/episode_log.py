"""Everything that decides what the engine computes, in order: its calls, and what it read from its stopwatch.

The engine has no other source of input: noise is a function of (episode seed, chunk id), and how far speculation got
is the number of steps it was given. So the same calls with the same readings give the same bits on the same backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, FeatureFrame, MemoryPolicy, SaiReport
from clwm_policy.engine.re_entry import Point, ReEntryPolicy
from clwm_policy.errors import BadSnapshot, EngineError
from clwm_policy.memory.long_term import LongTermMemory
from clwm_policy.model.known_sentences import KnownSentences

if TYPE_CHECKING:
    from clwm_policy.engine.engine import Engine

ENTRIES_HELD = 1000  # written even if no chunk is ever finished


class RecordingError(RuntimeError):
    """What the engine does cannot be recorded; the message says why."""


@dataclass(frozen=True)
class EpisodeStarted:
    """`Engine.start_episode`."""


@dataclass(frozen=True)
class Requested:
    """`Engine.request`, or `Engine.cancel` when the request is one to cancel."""

    request: ChunkRequest


@dataclass(frozen=True)
class Worked:
    """So many calls of `Engine.advance` that did something."""

    steps: int


@dataclass(frozen=True)
class Observed:
    """`Engine.finish` on this frame and the state paired with it. time_left: s until the chunk was needed."""

    frame: FeatureFrame
    state: DualArmState
    time_left: float


Call = EpisodeStarted | Requested | Worked | Observed


@dataclass(frozen=True)
class Entry:
    """One call and what came of it.

    readings: s, what the engine read from its stopwatch meanwhile. refusal: name of the EngineError that it raised.
    chunk, report: of an observation that was not refused; the report is missing if the recording ended before it.
    """

    call: Call
    readings: tuple[float, ...] = ()
    refusal: str = ""
    chunk: ActionChunk | None = None
    report: SaiReport | None = None


class EpisodeLog(Protocol):
    """Where entries go."""

    def write(self, entry: Entry) -> None: ...

    def close(self) -> None: ...


class RecordedStopwatch:
    """A stopwatch that remembers what it said."""

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._readings: list[float] = []

    def __call__(self) -> float:
        self._readings.append(self._stopwatch())
        return self._readings[-1]

    def take(self) -> tuple[float, ...]:
        """What was read since the last call."""
        readings, self._readings = tuple(self._readings), []
        return readings


class PlayedStopwatch:
    """Says again what a `RecordedStopwatch` said; 0 when it is asked more often."""

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def __call__(self) -> float:
        return next(self._readings, 0.0)

    def play(self, readings: Iterable[float]) -> None:
        """What to say from now on."""
        self._readings = iter(readings)


class RecordedEngine:
    """An engine whose calls go to a log, after the chunk is away: in `report`, and in `close`.

    engine: one that has seen nothing. stopwatch: the one that it was made with.
    """

    def __init__(self, engine: Engine, stopwatch: RecordedStopwatch, log: EpisodeLog) -> None:
        self._engine = engine
        self._stopwatch = stopwatch
        self._log = log
        self._held: list[Entry] = []
        self._steps = 0
        stopwatch.take()  # of the warm-up

    @property
    def pending(self) -> ChunkRequest | None:
        return self._engine.pending

    @property
    def speculated_to(self) -> Point:
        return self._engine.speculated_to

    @property
    def re_entry(self) -> ReEntryPolicy:
        return self._engine.re_entry

    @property
    def was_evidence(self) -> bool:
        return self._engine.was_evidence

    @property
    def known_sentences(self) -> KnownSentences:
        return self._engine.known_sentences

    @property
    def encoder_hash(self) -> str:
        return self._engine.encoder_hash

    def check_task(self, instruction: str, memory_policy: MemoryPolicy, insist: bool = True) -> None:
        self._engine.check_task(instruction, memory_policy, insist)

    @property
    def memory(self) -> LongTermMemory:
        return self._engine.memory

    def save_memory(self, path: Path) -> str:
        return self._engine.save_memory(path)

    def restore_memory(self, path: Path) -> None:
        raise BadSnapshot("a replay log cannot hold a memory from elsewhere; start the stack without --replay-log")

    def start_episode(self) -> None:
        self._close_steps()
        self._engine.start_episode()
        self._hold(EpisodeStarted())

    def request(self, request: ChunkRequest) -> None:
        self._close_steps()
        try:
            self._engine.request(request)
        except EngineError as error:
            self._hold(Requested(request), refusal=type(error).__name__)
            raise
        self._hold(Requested(request))

    def cancel(self, chunk_id: int) -> bool:
        self._close_steps()
        done = self._engine.cancel(chunk_id)
        self._hold(Requested(ChunkRequest(chunk_id, 0, 0.0, 0.0, cancel=True)))
        return done

    def advance(self) -> bool:
        worked = self._engine.advance()
        self._steps += worked
        return worked

    def finish(self, frame: FeatureFrame, state: DualArmState, time_left: float = math.inf) -> ActionChunk:
        self._close_steps()
        call = Observed(frame, state, time_left)
        try:
            chunk = self._engine.finish(frame, state, time_left=time_left)
        except EngineError as error:
            self._hold(call, refusal=type(error).__name__)
            raise
        self._hold(call, chunk=chunk)
        return chunk

    def report(self) -> SaiReport:
        report = self._engine.report()
        if self._held and self._held[-1].chunk is not None:
            last = self._held[-1]
            self._held[-1] = replace(last, readings=last.readings + self._stopwatch.take(), report=report)
        self._flush()
        return report

    def close(self) -> None:
        """Write what is still held, and the end of the log."""
        self._close_steps()
        self._flush()
        self._log.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        for entry in held:
            self._log.write(entry)

    def _close_steps(self) -> None:
        if self._steps:
            steps, self._steps = self._steps, 0
            self._hold(Worked(steps))

    def _hold(self, call: Call, refusal: str = "", chunk: ActionChunk | None = None) -> None:
        self._held.append(Entry(call, self._stopwatch.take(), refusal, chunk))
        if len(self._held) > ENTRIES_HELD:
            self._flush()
