"""What `clwm doctor` asks of the ROS installation in use."""

from __future__ import annotations

from pathlib import Path

import rclpy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.utilities import get_rmw_implementation_identifier

from clwm_msgs.msg import ActionChunk


def location() -> Path:
    """Folder that rclpy is imported from."""
    return Path(rclpy.__file__).parent


def middleware() -> str:
    """Name of the RMW implementation that is used."""
    return get_rmw_implementation_identifier()


def messages_survive_serialisation() -> bool:
    """Whether one of this project's messages comes back from its wire format as it was."""
    sent = ActionChunk(chunk_id=7, horizon=1, rows=[0.5] * 30)
    return deserialize_message(serialize_message(sent), ActionChunk) == sent
