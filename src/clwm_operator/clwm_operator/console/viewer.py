"""What a browser does with the live connection, without one: it takes everything, and says that it has shown it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_TURN = 0.5  # s between two looks whether it is enough


class Viewer:
    """pictures: how many it has been shown."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._is_enough = threading.Event()
        self.pictures = 0

    def look(self, seconds: float) -> None:
        """Look on for so long, until `leave`, or until the console ends."""
        until = time.monotonic() + seconds
        with contextlib.suppress(ConnectionClosed):
            while (left := until - time.monotonic()) > 0.0 and not self._is_enough.is_set():
                with contextlib.suppress(TimeoutError):
                    self._take(self._socket.recv(timeout=min(left, _TURN)))

    def leave(self) -> None:
        """End `look`, from another thread."""
        self._is_enough.set()

    def _take(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            self.pictures += 1
            self._socket.send(json.dumps({"kind": "got", "camera": message[0]}))
        elif '"kind":"state"' in message:
            self._socket.send(json.dumps({"kind": "seen"}))


@contextlib.contextmanager
def viewer(port: int) -> Iterator[Viewer]:
    """At the console of this machine that listens to `port`. Raises OSError."""
    with connect(f"ws://127.0.0.1:{port}/live", max_size=None, compression=None) as socket:
        socket.send(json.dumps({"kind": "hello", "key": "0" * 32}))
        yield Viewer(socket)


@contextlib.contextmanager
def viewing(port: int) -> Iterator[Viewer]:
    """The same on a thread of its own. Raises OSError."""
    with viewer(port) as page:
        thread = threading.Thread(target=page.look, args=(float("inf"),), name="viewer", daemon=True)
        thread.start()
        try:
            yield page
        finally:
            page.leave()
            thread.join(timeout=5.0)
