"""Robots behind libfranka's protocol for the tests of what speaks it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROCESS = Path(__file__).with_name("robots_process.py")


@dataclass(frozen=True)
class Robots:
    """addresses: of the left arm, which has a block of 4 cm between its fingers, and of the right one."""

    process: subprocess.Popen
    addresses: tuple[str, str]

    def disturb(self, arm: str, what: str) -> None:
        self.process.stdin.write(f"{arm} {what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def robots():
    pytest.importorskip("pinocchio", reason="the robots' servers need pin")
    # Addresses of this run's own: ports are libfranka's.
    network = f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
    addresses = f"{network}.1", f"{network}.2"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(PROCESS), *addresses], **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        yield Robots(process, addresses)
        process.kill()
