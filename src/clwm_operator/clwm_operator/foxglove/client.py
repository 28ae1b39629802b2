"""A client of Foxglove's WebSocket protocol: what its application does, without one."""

from __future__ import annotations

import contextlib
import json
import struct
import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PROTOCOL = "foxglove.sdk.v1"
_MESSAGE, _ASSET = 1, 4  # what a binary word is, by its first byte


class Client:
    """channels: what the server has advertised, by topic. told: all else that it has said in JSON.

    messages: (topic, ns of the stack's clock, data) as they came; assets: by request (status, data, error).
    """

    def __init__(self, port: int) -> None:
        """Connects to this machine."""
        # Whoever looks on no longer does not wait for what is still on its way.
        self._socket = connect(
            f"ws://127.0.0.1:{port}", subprotocols=[PROTOCOL], compression=None, max_size=None, close_timeout=0.1
        )
        self.channels: dict[str, dict[str, Any]] = {}
        self.told: list[dict[str, Any]] = []
        self.messages: list[tuple[str, int, bytes]] = []
        self.assets: dict[int, tuple[int, bytes, str]] = {}
        self._topics: dict[int, str] = {}

    def subscribe(self, *topics: str) -> None:
        """Ask for these, of those that are advertised."""
        first = 1 + max(self._topics, default=0)
        numbers = dict(enumerate(topics, first))
        self._topics |= numbers
        asked = [{"id": number, "channelId": self.channels[topic]["id"]} for number, topic in numbers.items()]
        self.say({"op": "subscribe", "subscriptions": asked})

    def unsubscribe(self, topic: str) -> None:
        """Ask for this one no longer."""
        numbers = [number for number, name in self._topics.items() if name == topic]
        self.say({"op": "unsubscribe", "subscriptionIds": numbers})

    def say(self, words: dict[str, Any]) -> None:
        """Send a word in JSON."""
        self._socket.send(json.dumps(words))

    def send(self, data: bytes) -> None:
        """Send a binary word."""
        self._socket.send(data)

    def hear(self, is_enough: Callable[[], Any], seconds: float) -> Any:
        """Take in what comes until `is_enough` gives something true, and return that; after so long what it gives."""
        until = time.monotonic() + seconds
        with contextlib.suppress(ConnectionClosed):
            while not (found := is_enough()) and (left := until - time.monotonic()) > 0.0:
                with contextlib.suppress(TimeoutError):
                    self._take(self._socket.recv(timeout=min(left, 0.2)))
            return found
        return is_enough()

    def newest(self, topic: str) -> tuple[str, int, bytes] | None:
        return next((it for it in reversed(self.messages) if it[0] == topic), None)

    def close(self) -> None:
        self._socket.close()

    def _take(self, word: str | bytes) -> None:
        if isinstance(word, str):
            said = json.loads(word)
            self.told.append(said)
            if said["op"] == "advertise":
                self.channels |= {it["topic"]: it for it in said["channels"]}
        elif word[0] == _MESSAGE:
            number, stamp = struct.unpack_from("<IQ", word, 1)
            self.messages.append((self._topics[number], stamp, word[13:]))
        elif word[0] == _ASSET:
            request, status, length = struct.unpack_from("<IBI", word, 1)
            rest = word[10:]
            self.assets[request] = status, b"" if status else rest, rest[:length].decode() if status else ""
