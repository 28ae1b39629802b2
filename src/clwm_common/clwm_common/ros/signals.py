"""A node's way out: SIGINT and SIGTERM ask it to stop, and may break into a long configuration."""

from __future__ import annotations

import os
import signal
from typing import Any


class Interrupted(BaseException):
    """A signal came during the configuration."""


class StopOnSignal:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once."""

    def __init__(self) -> None:
        self.is_asked = False
        self.may_interrupt = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.is_asked:
            os._exit(128 + number)
        self.is_asked = True
        if self.may_interrupt:
            raise Interrupted
