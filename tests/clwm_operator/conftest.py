"""A stack that needs no simulation, as a process of its own, for all who sit at it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 60.0  # s until a test gives up


def domain():
    """A ROS domain of its own: the other tests' executors must not meet the stack's."""
    return 30 + (int(os.environ["ROS_DOMAIN_ID"]) + 5) % 70


def environment():
    """Of a process that is to meet the stack."""
    return {**os.environ, "ROS_DOMAIN_ID": str(domain())}


def wait_for(condition, what="it"):
    """Look until `condition` gives something true, and return that."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {PATIENCE:.0f} s in vain for {what}")


@pytest.fixture(scope="package")
def stand_in_stack():
    """The real executor with arms and cameras, but without a simulation."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("stand_in_stack.py"))],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert "ready with 3 cameras" in process.stdout.readline()
    yield process
    process.terminate()
    process.wait(PATIENCE)
