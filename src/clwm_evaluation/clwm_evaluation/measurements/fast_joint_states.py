"""Joint states at a driver's own rate, one topic an arm: only the stamp changes from message to message."""

from __future__ import annotations

import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import yaml
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from clwm_common.robot.description import config_directory

_STAMP = 4  # offset of header.stamp in a serialised message, behind four bytes of encapsulation
APART = "two_topics"  # the robot whose arms publish apart


@contextmanager
def arms_apart(robot: str) -> Iterator[Path]:
    """A config folder in which the robot APART is `robot`, with a joint state topic for each arm."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(copytree(config_directory(), Path(folder) / "config"))
        sides = {side: {"joint_states_topic": f"/{side}/joint_states"} for side in ("left", "right")}
        described = {"extends": robot, "name": APART, "driver": "external", **sides}
        (config / "robots" / f"{APART}.yaml").write_text(yaml.safe_dump(described))
        yield config


class FastJointStates:
    """A thread that publishes what `update` was given last, `rate` times a second on every topic."""

    def __init__(self, publishers: Sequence[Publisher], rate: float, clock: Callable[[], float]) -> None:
        self._publishers, self._period, self._clock = publishers, 1.0 / rate, clock
        self._bytes: list[bytearray] = []
        self.sent = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def update(self, messages: Sequence[JointState]) -> None:
        """One message for each publisher; their stamps are set when they leave."""
        self._bytes = [bytearray(serialize_message(message)) for message in messages]
        if not self._thread.is_alive() and not self._is_over.is_set():
            self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._is_over.is_set():
            due = max(due + self._period, time.monotonic() - 0.05)
            time.sleep(max(0.0, due - time.monotonic()))
            seconds, nanoseconds = divmod(round(1e9 * self._clock()), 1_000_000_000)
            for publisher, data in zip(self._publishers, self._bytes, strict=True):
                struct.pack_into("<iI", data, _STAMP, seconds, nanoseconds)
                publisher.publish(bytes(data))
            self.sent += 1
