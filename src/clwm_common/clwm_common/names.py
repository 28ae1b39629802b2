"""Names that ROS takes."""

from __future__ import annotations

import re

_TOKEN = r"[A-Za-z_](?:_?[A-Za-z0-9])*_?"


def topic_name(name: str) -> str:
    """`name` when it is that of a topic, service or action from the root on. Raises ValueError for any other."""
    if not re.fullmatch(rf"(?:/{_TOKEN})+", name):
        raise ValueError(
            f"'{name}' is no name of a topic; expected /words/of letters, digits and underscores, a letter first"
        )
    return name


def camera_name(name: str) -> str:
    """`name` when it can be a part of a topic's name. Raises ValueError for any other."""
    if not re.fullmatch(_TOKEN, name):
        raise ValueError(
            f"'{name}' is no name of a camera; expected letters, digits and underscores, a letter first: topics and "
            "frames are named for it"
        )
    return name
