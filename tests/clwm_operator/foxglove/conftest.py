"""`clwm foxglove` beside the stack, and a client that looks on."""

import re
import signal
import subprocess
import sys

import pytest

from ..conftest import PATIENCE, environment


def looking(port):
    """A client that has been told the channels."""
    module = pytest.importorskip("clwm_operator.foxglove.client", reason="needs the group 'console'")
    client = module.Client(port)
    assert client.hear(lambda: client.channels, PATIENCE)
    return client


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
    client = looking(server.port)
    yield client
    client.close()


@pytest.fixture
def another_client(server):
    client = looking(server.port)
    yield client
    client.close()
