"""What the arms are doing and what they wait for; the state chart is in `scheduler.py`."""

from enum import Enum


class Phase(Enum):
    """The value says it in words."""

    BLIND = "no fresh joint state"
    IDLE = "at rest, nothing asked"
    ASKED = "at rest, waiting for a chunk"
    MOVING = "running a chunk, the next one asked"
    STALLED = "out of rows: braking or at rest, the next chunk late"
    STOPPING = "running out what was sent, nothing asked"
    STEERED = "following a human"
