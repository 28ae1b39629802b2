"""What the recorder is told: topics, and their messages as they came."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One topic that is recorded. qos: as rosbag2 writes the profile that it was offered with (YAML).

    is_latched: its last message is at the beginning of every recording. is_heavy: nothing of before the task is kept.
    """

    name: str
    kind: str
    definition: str
    qos: str
    is_latched: bool = False
    is_heavy: bool = False


@dataclass(frozen=True)
class Message:
    """As it came, serialised. number: its sender's count of messages, None where the middleware tells none."""

    topic: str
    received: int
    sent: int
    number: int | None
    data: bytes
