"""A node's way out: SIGINT, SIGTERM and SIGHUP ask it to stop, and may break into a long configuration."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

SAME_CTRL_C = 0.5  # s


class Interrupted(BaseException):
    """A signal came during the configuration."""


class StopOnSignal:
    """Set by the first SIGINT, SIGTERM or SIGHUP; a second one, of a human without patience, ends the process at once.

    One Ctrl-C may come twice, from the terminal and from whoever started the process.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._asked_at = 0.0
        self.may_interrupt = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A closed terminal does not end what nohup has started.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.is_asked:
            if time.monotonic() - self._asked_at < SAME_CTRL_C:
                return
            os._exit(128 + number)
        self.is_asked, self._asked_at = True, time.monotonic()
        if self.may_interrupt:
            raise Interrupted
