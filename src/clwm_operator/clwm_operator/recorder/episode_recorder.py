"""Which messages go into which file: a recording for each task, with what was latched before it and its last second.

Knows no clock, no thread and no ROS; times are ns, those of messages on the clock of the machine that records.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from clwm_common.messages import Mode
from clwm_common.recordings.corrections import CorrectionLabel, Corrections
from clwm_common.recordings.labels import Labels
from clwm_common.recordings.names import FACTS, FORMAT, SUFFIX, SUMMARY
from clwm_common.recordings.reader import RecordingError
from clwm_operator.recorder.bag_facts import bag_document
from clwm_operator.recorder.counts import TopicCount
from clwm_operator.recorder.mcap_file import McapFile
from clwm_operator.recorder.messages import Message, Topic
from clwm_operator.recorder.span import Begin, Command, End, EpisodeSpan, Event, TaskHeard, Tick, VerdictHeard

LIBRARY = "clwm record"
PRE_ROLL = 1_000_000_000  # ns before a task that are kept of it: the first request comes before the task is told
_SAID = {
    CorrectionLabel.NONE: "nothing is said of it any more",
    CorrectionLabel.DISCARDED: "discarded, nobody will learn from it",
    CorrectionLabel.RECOVERY: "a recovery",
}
FLUSH_PERIOD = 300_000_000  # ns; what a killed recorder loses at most


class RecorderError(RuntimeError):
    """Nothing can be recorded any more; what was, is on the disk. The message says why."""


@dataclass(frozen=True)
class Attached:
    """A file that goes into every recording."""

    name: str
    media_type: str
    data: bytes


@dataclass
class Recording:
    """One file and what is known of it. interventions: (begin, end) ns of every time that a human moved the arms."""

    file: McapFile
    task: TaskHeard
    began: int
    channels: dict[str, int] = field(default_factory=dict)
    counts: dict[str, TopicCount] = field(default_factory=dict)
    interventions: list[tuple[int, int]] = field(default_factory=list)
    human_since: int | None = None
    last: int = 0
    verdict: VerdictHeard | None = None
    reason: str = ""
    is_kept: bool = True

    @property
    def seconds(self) -> float:
        return (self.last - self.began) * 1e-9

    @property
    def verdict_word(self) -> str:
        """Success or failure as the world or an operator has judged; empty when nobody has."""
        return "" if self.verdict is None else "success" if self.verdict.succeeded else "failure"


class EpisodeRecorder:
    """Takes every message and event in order; `tick` at least every 0.3 s.

    out: the folder of recordings. free_bytes: of its disk; keep_free: bytes that must be left on it. facts, attached:
    what goes into every file. Raises RecorderError, and OSError when the folder cannot be made.
    """

    def __init__(
        self,
        out: Path,
        topics: Mapping[str, Topic],
        facts: Mapping[str, str],
        attached: tuple[Attached, ...],
        *,
        keep_free: int,
        free_bytes: Callable[[], int],
        is_whole: bool = False,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out, self._topics = out, topics
        self._facts, self._attached = facts, attached
        self._keep_free, self._free_bytes = keep_free, free_bytes
        self._span = EpisodeSpan(is_whole=is_whole)
        self._latched: dict[str, Message] = {}
        self._before: deque[Message] = deque()
        self._human_since: int | None = None
        self._corrections = Corrections()
        self._flushed = self._newest = 0
        self.current: Recording | None = None
        self.done: list[Recording] = []
        self._check_disk()

    def take(self, message: Message) -> None:
        """Record a message, or keep it for the next recording."""
        topic = self._topics[message.topic]
        if topic.is_latched:
            self._latched[message.topic] = message
        if self.current is not None:
            self._write(self.current, message)
        elif not topic.is_heavy and not topic.is_latched:
            self._before.append(message)
            while self._before[-1].received - self._before[0].received > PRE_ROLL:
                self._before.popleft()

    def hear(self, now: int, event: Event) -> None:
        """A task, a verdict or a reset of the world, after `take` of the message that told it."""
        self._perform(now, self._span.step(now * 1e-9, event))

    def hear_mode(self, now: int, mode: Mode) -> None:
        """Who moves the arms from now on."""
        recording, moves, was_going_on = self.current, mode is Mode.TELEOP, self._corrections.is_going_on
        self._corrections.hear(now, mode)
        if was_going_on and not self._corrections.is_going_on and self._corrections.found[-1].label:
            with contextlib.suppress(RecordingError):  # what was said while it went on stays
                self._guarded(self._save_label)
        if moves and self._human_since is None:
            self._human_since = now
        elif not moves and self._human_since is not None:
            if recording is not None:
                recording.interventions.append((max(self._human_since, recording.began), now))
            self._human_since = None

    def label_correction(self, label: CorrectionLabel) -> str:
        """Keep beside the recordings that have it what the last correction was. Returns it in words.

        Raises RecordingError when there is no correction, no recording has it, or labels that are there are broken,
        and OSError.
        """
        if not self._corrections.found:
            raise RecordingError("no human has moved the arms since the recorder began: there is nothing to label")
        before = self._corrections.found[-1]
        self._corrections.label_last(label)
        try:
            self._save_label()
        except (RecordingError, OSError):
            self._corrections.found[-1] = before
            raise
        lasts = "which goes on" if before.end is None else f"of {(before.end - before.begin) * 1e-9:.1f} s"
        return f"the last correction, {lasts}: {_SAID[label]}"

    def _save_label(self) -> None:
        correction = self._corrections.found[-1]
        recordings = [*self.done, *([] if self.current is None else [self.current])]
        having = [it for it in recordings if it is self.current or it.last >= correction.begin]
        if correction.end is not None:
            having = [it for it in having if it.began <= correction.end]
        if not having:
            raise RecordingError(
                "the last correction was not recorded: no task was given then, or it was judged before"
            )
        for recording in having:
            Labels.of(recording.file.path).corrected(correction).save(recording.file.path)

    def tick(self, now: int) -> None:
        """Put on the disk what has come, and look whether there is room for more."""
        self._perform(now, self._span.step(now * 1e-9, Tick()))
        if now - self._flushed >= FLUSH_PERIOD:
            self._flushed = now
            self._check_disk()
            if self.current is not None:
                self._guarded(self.current.file.flush)

    def stop(self, now: int) -> None:
        """End the recording that runs."""
        self._perform(now, self._span.stop())

    def _perform(self, now: int, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Begin(task):
                    self._begin(now, task)
                case End():
                    self._end(now, command)

    def _begin(self, now: int, task: TaskHeard) -> None:
        path = _free_path(self._out, now, task.instruction)
        try:
            recording = Recording(McapFile(path, LIBRARY), task, now, last=now)
        except OSError as error:
            raise RecorderError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
        self.current = recording
        facts = {
            "format": FORMAT,
            **self._facts,
            "task_epoch": str(task.epoch),
            "instruction": task.instruction,
            "goal": task.goal,
            "began": f"{now * 1e-9:.3f}",
        }
        self._guarded(lambda: self._introduce(recording, now, facts))
        before = [it for it in self._before if now - it.received <= PRE_ROLL]
        start = min([now, *(it.received for it in before)])
        for message in self._latched.values():
            self._write(recording, Message(message.topic, start, message.sent, None, message.data))
        for message in before:
            self._write(recording, message)
        self._before.clear()

    def _introduce(self, recording: Recording, now: int, facts: Mapping[str, str]) -> None:
        recording.file.add_metadata("rosbag2", {"ROS_DISTRO": "jazzy"})
        recording.file.add_metadata(FACTS, facts)
        for file in self._attached:
            recording.file.add_attachment(file.name, file.media_type, file.data, now)

    def _end(self, now: int, end: End) -> None:
        recording, self.current = self.current, None
        assert recording is not None
        if self._human_since is not None:
            recording.interventions.append((max(self._human_since, recording.began), now))
        recording.verdict, recording.reason, recording.is_kept = end.verdict, end.reason, end.is_kept
        if not end.is_kept:
            recording.file.close()
            recording.file.path.unlink()
            return
        self.done.append(recording)
        self._guarded(lambda: self._conclude(recording))

    def _conclude(self, recording: Recording) -> None:
        document = bag_document(recording.file.path.name, self._topics, recording.counts)
        try:
            recording.file.flush()
            recording.file.add_metadata("rosbag2", {"serialized_metadata": document})
            recording.file.add_metadata(SUMMARY, summary(recording))
        finally:
            recording.file.close()

    def _write(self, recording: Recording, message: Message) -> None:
        topic = self._topics[message.topic]
        # Two topics are read one after the other, so what comes from both may be out of order by as much.
        time = self._newest = max(message.received, self._newest)
        if message.topic not in recording.channels:
            metadata = {"offered_qos_profiles": topic.qos}
            recording.channels[topic.name] = recording.file.add_channel(
                topic.name, topic.kind, topic.definition, metadata
            )
            recording.counts[topic.name] = TopicCount()
        recording.counts[topic.name].add(time, message.number, len(message.data))
        recording.last = max(recording.last, time)
        channel, number = recording.channels[topic.name], (message.number or 0) % (1 << 32)
        self._guarded(lambda: recording.file.add(channel, time, message.sent, number, message.data))

    def _check_disk(self) -> None:
        if (free := self._free_bytes()) >= self._keep_free:
            return
        self._give_up(
            f"only {free / 1e9:.2f} GB are free where {self._out} is; {self._keep_free / 1e9:.2f} GB are to be left: "
            "make room, name another --out, or another --keep-free"
        )

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            self._give_up(f"{self._out} cannot be written any more ({what}); make room, or name another --out")

    def _give_up(self, why: str) -> None:
        """What is in the file stays readable, also without its index."""
        recording, self.current = self.current, None
        if recording is not None:
            recording.reason = "the recorder gave up"
            self.done.append(recording)
            try:
                self._conclude(recording)
            except OSError:
                why += "; the last recording has no index, and is readable all the same"
        raise RecorderError(why)


def summary(recording: Recording) -> dict[str, str]:
    """What a list of recordings shows, as texts."""
    human = sum(end - begin for begin, end in recording.interventions) * 1e-9
    verdict = recording.verdict
    return {
        "seconds": f"{recording.seconds:.3f}",
        "ended": recording.reason,
        "verdict": recording.verdict_word,
        "judge": "" if verdict is None else verdict.judge,
        "interventions": str(len(recording.interventions)),
        "human_seconds": f"{human:.3f}",
        "topics": json.dumps({name: count.facts() for name, count in sorted(recording.counts.items())}),
    }


def _free_path(out: Path, now: int, instruction: str) -> Path:
    """`20261130-101502-lift-the-tray.mcap`, by UTC; with a number where two begin in the same second."""
    words = re.sub(r"[^a-z0-9]+", "-", instruction.lower()).strip("-")[:40].strip("-") or "no-task"
    name = f"{datetime.fromtimestamp(now * 1e-9, tz=timezone.utc):%Y%m%d-%H%M%S}-{words}"
    path, number = out / f"{name}{SUFFIX}", 2
    while path.exists():
        path, number = out / f"{name}-{number}{SUFFIX}", number + 1
    return path
