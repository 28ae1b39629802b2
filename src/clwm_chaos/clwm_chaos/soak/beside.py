"""The operator's processes beside a soak: a console at which one page looks on, and a recorder."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from clwm_bringup.graph import CommandSpec
from clwm_bringup.supervisor import Line, Supervisor
from clwm_chaos.soak.measure import OperatorSide
from clwm_common.process_usage import usage
from clwm_common.recordings.names import SUFFIX
from clwm_common.recordings.reader import read_recording
from clwm_operator.console.viewer import viewing
from clwm_operator.operator_node import StackError

CONSOLE, RECORDER = "console", "recorder"
START_TIMEOUT = 60.0  # s


@dataclass(frozen=True)
class _Used:
    """s of processor time that both have used, at an instant of the steady clock."""

    at: float
    console: float
    recorder: float


class OperatorProcesses:
    """Give `specs` to the supervisor and every line to `hear`; then `begin`, `leave`, and `end` while both live.

    recordings: the folder, which must have no other ones in it.
    """

    def __init__(self, robot: str, model: str, recordings: Path) -> None:
        names = ("--robot", robot, "--model", model)
        self.specs = (
            CommandSpec(CONSOLE, ("console", "--port", "0", *names)),
            CommandSpec(RECORDER, ("record", "--out", str(recordings), *names)),
        )
        self._recordings = recordings
        self._port = 0
        self._is_recording = False
        self._page = ExitStack()

    def hear(self, line: Line) -> None:
        """What a process has said."""
        if line.name == CONSOLE and (found := re.search(r"http://\S+:(\d+)/", line.text)):
            self._port = int(found[1])
        self._is_recording |= line.name == RECORDER and "recording to" in line.text

    def begin(self, supervisor: Supervisor) -> None:
        """Open the page once both have come up, and count from now on. Raises StackError when they do not."""
        until = time.monotonic() + START_TIMEOUT
        while not (self._port and self._is_recording):
            supervisor.poll(timeout=0.1)
            if time.monotonic() > until:
                raise StackError(f"console or recorder did not come up within {START_TIMEOUT:.0f} s; see their logs")
        try:
            self._seen = self._page.enter_context(viewing(self._port))
        except OSError as error:
            raise StackError(f"the console does not answer ({error}); see its log") from None
        self._ids = supervisor.process_ids()
        self._began = self._usage()
        self._left: _Used | None = None

    def leave(self) -> None:
        """Close the page; the console goes on without a viewer. Raises StackError as `end`."""
        self._left = self._usage()
        self._page.close()

    def end(self) -> OperatorSide:
        """What they have used since `begin`. Raises StackError when one has ended."""
        ended = self._usage()
        began, left = self._began, self._left or ended
        self._page.close()
        return OperatorSide(
            seconds=ended.at - began.at,
            watched=left.at - began.at,
            console=left.console - began.console,
            console_unwatched=ended.console - left.console,
            recorder=ended.recorder - began.recorder,
            pictures=self._seen.pictures,
        )

    def with_recordings(self, side: OperatorSide) -> OperatorSide:
        """`side` with what is in the files of a recorder that has ended. Raises RecordingError."""
        files = sorted(self._recordings.glob(f"*{SUFFIX}"))
        lost = sum(int(topic["lost"]) for file in files for topic in read_recording(file).topics.values())
        return replace(side, recordings=len(files), lost=lost, bytes=sum(file.stat().st_size for file in files))

    def _usage(self) -> _Used:
        found = [usage(self._ids.get(name, -1)) for name in (CONSOLE, RECORDER)]
        if (console := found[0]) is None or (recorder := found[1]) is None:
            raise StackError("console or recorder has ended; see their logs")
        return _Used(time.monotonic(), console.processor, recorder.processor)
