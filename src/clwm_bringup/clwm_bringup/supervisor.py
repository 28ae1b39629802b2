"""Starts the graph's processes without ROS's launch, keeps them alive, and ends them in order."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clwm_bringup import tied_process
from clwm_bringup.graph import STOP_ORDER, CommandSpec, NodeSpec
from clwm_bringup.restarts import GiveUp, Restart, Restarts

GRACE = 10.0  # s that a node has for a clean end
_LAST_WORDS = 0.1  # s for what a dead process has printed; a grandchild may keep its pipe open for ever


@dataclass(frozen=True)
class Line:
    """One line of a process's output, or of the supervisor's own (name "clwm")."""

    name: str
    text: str


@dataclass(frozen=True)
class _Exit:
    name: str
    process: subprocess.Popen
    code: int


class Supervisor:
    """Use as a context manager; call `poll` often. What the processes print reaches `on_line` in the polling thread,
    until it raises OSError; `unheard` says why then.

    Use it from the main thread: the processes end with the thread that started them, so that nothing outlives it.
    """

    def __init__(
        self,
        specs: Sequence[NodeSpec | CommandSpec],
        environment: Mapping[str, str],
        on_line: Callable[[Line], None],
        restarts: Restarts | None = None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._environment = dict(environment)
        self._on_line = on_line
        self._events: queue.SimpleQueue[Line | _Exit] = queue.SimpleQueue()
        self._processes: dict[str, subprocess.Popen] = {}
        self._watchers: dict[str, threading.Thread] = {}
        self._restarts = restarts or Restarts()
        self._pending: dict[str, Restart] = {}
        self.given_up: dict[str, str] = {}
        self.is_refused = False  # whether a process has refused its parameters at its first start
        self.unheard = ""
        self.restart_count = 0

    def __enter__(self) -> Supervisor:
        try:
            for name in self._specs:
                self._start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def process_ids(self) -> dict[str, int]:
        """Of the living processes, by node name."""
        return {name: process.pid for name, process in self._processes.items()}

    def poll(self, timeout: float = 0.0) -> None:
        """Handle output, deaths and due restarts; wait up to `timeout` seconds for the first of them."""
        deadline = time.monotonic() + timeout
        while True:
            self._start_due()
            try:
                event = self._events.get(timeout=max(0.0, min(deadline - time.monotonic(), 0.1)))
            except queue.Empty:
                if time.monotonic() >= deadline:
                    return
                continue
            deadline = min(deadline, time.monotonic())
            match event:
                case Line():
                    self._tell(event)
                case _Exit(name, process, code) if self._processes.get(name) is process:
                    self._on_exit(name, code)

    def stop(self) -> None:
        """End all processes in the groups of STOP_ORDER, each with time for a clean end. Safe to call twice."""
        self._pending.clear()
        ordered = {name for group in STOP_ORDER for name in group}
        for group in (*STOP_ORDER, tuple(self._processes.keys() - ordered)):
            self._end({name: self._processes.pop(name) for name in group if name in self._processes})

    def _end(self, processes: Mapping[str, subprocess.Popen]) -> None:
        for process in processes.values():
            # Not SIGINT: a node that is still importing ends with a traceback by that, and silently by this.
            process.terminate()
        deadline = time.monotonic() + GRACE
        for name, process in processes.items():
            try:
                code = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._say(f"{name} did not end within {GRACE:.0f} s and was killed")
            else:
                if code not in (0, -signal.SIGTERM):
                    self._say(f"{name} ended with code {code}")
            # Its last words come before those of the next.
            self._watchers[name].join(timeout=1.0)
            self._drain()

    def _start(self, name: str) -> None:
        spec = self._specs[name]
        process = subprocess.Popen(
            # Should the supervisor be killed outright, the arms must not go on without it.
            tied_process.command(spec.command()),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A terminal sends Ctrl-C to its whole process group; the order of ending is ours to keep.
            start_new_session=True,
        )
        self._processes[name] = process
        self._restarts.started(name, time.monotonic())
        reader = threading.Thread(target=self._read, args=(name, process), daemon=True)
        self._watchers[name] = threading.Thread(target=self._watch, args=(name, process, reader), daemon=True)
        reader.start()
        self._watchers[name].start()

    def _read(self, name: str, process: subprocess.Popen) -> None:
        for text in process.stdout:
            self._events.put(Line(name, text.rstrip("\n")))

    def _watch(self, name: str, process: subprocess.Popen, reader: threading.Thread) -> None:
        code = process.wait()
        # What it started is of its session, and would hold the pipe, memory and devices of the one that follows.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        reader.join(_LAST_WORDS)
        self._events.put(_Exit(name, process, code))

    def _on_exit(self, name: str, code: int) -> None:
        del self._processes[name]
        decision = self._restarts.died(name, code, time.monotonic())
        self._say(decision.reason)
        match decision:
            case Restart():
                self._pending[name] = decision
            case GiveUp():
                self.given_up[name] = decision.reason
                self.is_refused |= decision.is_refusal

    def _start_due(self) -> None:
        for name, restart in list(self._pending.items()):
            if time.monotonic() >= restart.at:
                del self._pending[name]
                self.restart_count += 1
                self._start(name)

    def _drain(self) -> None:
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, Line):
                self._tell(event)

    def _say(self, text: str) -> None:
        self._tell(Line("clwm", text))

    def _tell(self, line: Line) -> None:
        """A terminal that was closed and a disk that is full must not keep the arms from being looked after."""
        if self.unheard:
            return
        try:
            self._on_line(line)
        except OSError as error:
            self.unheard = f"the output of the nodes cannot be shown or written any more ({error.strerror})"
            with contextlib.suppress(OSError):
                print(f"clwm: {self.unheard}; the stack runs on", file=sys.stderr)
