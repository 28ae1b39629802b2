"""A node's logger that says the same text at most once a second."""

from __future__ import annotations

import threading
import time
from typing import Any

from clwm_common.log_throttle import LogThrottle


class QuietLogger:
    """In place of rclpy's, around which it stands. May be used by several threads.

    The options of rclpy's calls that have a memory for the calling line (`once`, `throttle_duration_sec`) are not
    offered: all lines are one here.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._repeats = LogThrottle()
        self._lock = threading.Lock()

    def debug(self, text: str) -> None:
        self._say("debug", text)

    def info(self, text: str) -> None:
        self._say("info", text)

    def warning(self, text: str) -> None:
        self._say("warning", text)

    warn = warning

    def error(self, text: str) -> None:
        self._say("error", text)

    def fatal(self, text: str) -> None:
        self._say("fatal", text)

    def say_what_was_left_out(self) -> None:
        """To be called about once a second."""
        with self._lock:
            left_out = self._repeats.due(time.monotonic())
        for severity, text in left_out:
            self._tell(severity, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def _say(self, severity: str, text: str) -> None:
        with self._lock:
            said = self._repeats.admit(time.monotonic(), str(text), severity)
        if said is not None:
            self._tell(severity, said)

    def _tell(self, severity: str, text: str) -> None:
        # A line for each: rclpy refuses a second severity from a line that has logged with another one.
        match severity:
            case "debug":
                self._logger.debug(text)
            case "info":
                self._logger.info(text)
            case "warning":
                self._logger.warning(text)
            case "error":
                self._logger.error(text)
            case "fatal":
                self._logger.fatal(text)
