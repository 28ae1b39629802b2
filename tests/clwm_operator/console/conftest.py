"""A console beside a stack, as processes of their own, and requests to it without a browser."""

import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ..conftest import PATIENCE, environment, wait_for


class Console:
    """A running `clwm console`; port: that it listens to; said: what it has printed until it listened."""

    def __init__(self, *options, variables=None):
        """variables: of its environment; None: those of the stand-in stack."""
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)  # in which it runs
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "clwm_bringup", "console", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=variables or environment(),
            cwd=self.folder,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background jobs ignore it
        )
        self.said = ""
        while (found := re.search(r"http://\S+:(\d+)/", self.said)) is None:
            line = self.process.stdout.readline()
            assert line, f"the console ended: {self.said}"
            self.said += line
        self.port = int(found[1])
        wait_for(self.answers, "the console")

    @property
    def tokens(self):
        """By role, as they were printed."""
        return dict(re.findall(r"token of the (\w+), shown once: (\S+)", self.said))

    def answers(self):
        try:
            return self.ask("GET", "/me").status == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, headers=None, host=None):
        """The response of one request, with `.said`, its JSON where it has one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, raw, {"Host": host or f"127.0.0.1:{self.port}", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        is_json = "json" in (response.headers.get("content-type") or "")
        response.said = json.loads(text) if is_json else text
        return response

    def order(self, path, body=None, page="", token=None):
        headers = {"Content-Type": "application/json", "X-Page": page}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.ask("POST", path, body or {}, headers)

    def end(self):
        """End it as Ctrl-C does; returns all that it has said."""
        self.process.send_signal(signal.SIGINT)
        rest = self.process.communicate(timeout=PATIENCE)[0]
        return self.said + rest


@pytest.fixture(scope="module")
def console(stand_in_stack):
    """A console that everybody on this machine may use."""
    console = Console()
    yield console
    console.process.kill()
    console.process.communicate()


@pytest.fixture(scope="module")
def guarded(stand_in_stack):
    """A console that asks for tokens."""
    console = Console("--tokens")
    while len(console.tokens) < 2:
        console.said += console.process.stdout.readline()
    yield console
    console.process.kill()
    console.process.communicate()
