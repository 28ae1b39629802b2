"""`clwm foxglove` beside the stack, and a client that speaks Foxglove's WebSocket protocol."""

import json
import re
import signal
import struct
import subprocess
import sys
import time

import pytest

from ..conftest import PATIENCE, environment


class Client:
    """channels: what the server has advertised, by topic. told: all else that it said in JSON."""

    def __init__(self, port):
        connect = pytest.importorskip("websockets.sync.client", reason="needs the group 'console'").connect
        address = f"ws://127.0.0.1:{port}"
        self._socket = connect(address, subprotocols=["foxglove.sdk.v1"], compression=None, close_timeout=0.1)
        self.channels, self.told, self._asked = {}, [], {}
        self.messages = []  # (topic, ns, bytes)
        self.assets = {}  # by request
        self.hear(lambda: self.channels, "the channels")

    @property
    def info(self):
        return next(it for it in self.told if it["op"] == "serverInfo")

    def subscribe(self, *topics):
        asked = [{"id": 1 + len(self._asked) + n, "channelId": self.channels[it]["id"]} for n, it in enumerate(topics)]
        self._asked |= {it["id"]: topic for it, topic in zip(asked, topics, strict=True)}
        self.say({"op": "subscribe", "subscriptions": asked})

    def unsubscribe(self, topic):
        (number,) = [number for number, name in self._asked.items() if name == topic]
        del self._asked[number]
        self.say({"op": "unsubscribe", "subscriptionIds": [number]})

    def say(self, words):
        self._socket.send(json.dumps(words))

    def send(self, data):
        self._socket.send(data)

    def hear(self, condition, what):
        """Take in what comes until `condition` gives something true, and return that."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}; told {self.told[-3:]}"
            try:
                self._take(self._socket.recv(timeout=0.2))
            except TimeoutError:
                continue
        return found

    def newest(self, topic):
        return next((it for it in reversed(self.messages) if it[0] == topic), None)

    def close(self):
        self._socket.close()

    def _take(self, word):
        if isinstance(word, str):
            said = json.loads(word)
            self.told.append(said)
            if said["op"] == "advertise":
                self.channels |= {it["topic"]: it for it in said["channels"]}
        elif word[0] == 1:
            number, stamp = struct.unpack_from("<IQ", word, 1)
            if number in self._asked:
                self.messages.append((self._asked[number], stamp, word[13:]))
        elif word[0] == 4:
            request, status, length = struct.unpack_from("<IBI", word, 1)
            self.assets[request] = (status, word[10:] if length == 0 else b"", word[10 : 10 + length].decode())


@pytest.fixture(scope="module")
def server(stand_in_stack):
    """The running command; .port is where it listens."""
    pytest.importorskip("foxglove", reason="needs the group 'foxglove'")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "clwm_bringup", "foxglove", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background jobs ignore it
    )
    said = ""
    while (found := re.search(r"ws://127\.0\.0\.1:(\d+) ", said)) is None:
        line = process.stdout.readline()
        assert line, f"it ended: {said}"
        said += line
    process.port = int(found[1])
    yield process
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 130 and "Traceback" not in rest, rest


@pytest.fixture
def client(server):
    client = Client(server.port)
    yield client
    client.close()


@pytest.fixture
def another_client(server):
    client = Client(server.port)
    yield client
    client.close()
