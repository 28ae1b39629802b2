"""The thread on which a session's engine works: it belongs to one session, and once stopped it touches nothing more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from clwm_common import messages as core
from clwm_policy.session import ClockJumped, Output, Session

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Work:
    work: Callable[[], Any]
    future: Future[Any]

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.work())
            except Exception as error:  # it is for whoever asked
                self.future.set_exception(error)


class EngineThread:
    """Hands messages to `session` and its answers to `send`; works ahead while none come, sleeps with nothing to do.

    on_failure: called on the thread with what the session raised, which ends it. A step of the engine cannot be broken
    off: what one that outlasts `stop` leads to is dropped, and no further one is made.
    """

    def __init__(
        self, session: Session, send: Callable[[Output], None], on_failure: Callable[[Exception], None]
    ) -> None:
        self._session, self._send, self._on_failure = session, send, on_failure
        self._events: queue.SimpleQueue[tuple[Any, float] | None] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def put(self, message: Any, arrived_at: float) -> None:
        """Queue a message, or None for a look at the clock."""
        self._events.put((message, arrived_at))

    def do(self, work: Callable[[], Result]) -> Future[Result]:
        """Have this done between two steps of the engine; what it raises is for whoever asked."""
        future: Future[Result] = Future()
        self._events.put((_Work(work, future), 0.0))
        return future

    def stop(self, timeout: float) -> bool:
        """Ask it to end, and wait at most `timeout` s; whether it has. Nothing is sent from here on."""
        self._is_stopped.set()
        self._events.put(None)
        self._thread.join(timeout)
        return not self.is_alive

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (event := self._next_event()) is not None and not self._is_stopped.is_set():
                for output in self._answer(*event):
                    if not self._is_stopped.is_set():
                        self._send(output)
        except Exception as error:
            if not self._is_stopped.is_set():
                self._on_failure(error)

    def _next_event(self) -> tuple[Any, float] | None:
        """The next event, after idle-time work as long as there is some and none has come; None when stopped."""
        while not self._is_stopped.is_set():
            try:
                return self._events.get_nowait()
            except queue.Empty:
                if not self._session.advance():
                    return self._events.get()
        return None

    def _answer(self, message: Any, arrived_at: float) -> Iterable[Output]:
        match message:
            case core.ChunkRequest():
                return self._session.on_request(message, arrived_at)
            case core.FeatureFrame():
                return self._session.on_frame(message, arrived_at)
            case ClockJumped():
                return self._session.on_clock_jumped(message)
            case _Work():
                message.run()
                return ()
            case core.DualArmState():
                self._session.on_state(message)
                return ()
            case _:
                return self._session.on_tick()
