"""A process that is no part of the stack, started and ended beside it, whose output can be asked for a text."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

END_TIMEOUT = 10.0  # s


class SideProcess:
    """A context manager: the process runs inside it, and not after it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._lines: list[str] = []

    def __enter__(self) -> SideProcess:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)
        self._reader.join(END_TIMEOUT)

    @property
    def text(self) -> str:
        """All that it has printed so far."""
        return "\n".join(self._lines)

    def has_said(self, text: str) -> bool:
        return text in self.text

    def go_on(self) -> None:
        """Send it the line that it waits for."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self, number: signal.Signals) -> None:
        """Send it this signal and wait for its end. Raises subprocess.TimeoutExpired."""
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(END_TIMEOUT)

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n"))
