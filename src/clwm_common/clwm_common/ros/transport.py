"""Which transport profile of Fast DDS a process takes; to be decided before ROS starts in it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from clwm_common.ros_environment import PROFILE_VARIABLES

FULL, LIGHT = "fastdds.xml", "fastdds_light.xml"


def send_small_messages_only(environment: MutableMapping[str, str] = os.environ) -> None:
    """Take the light profile in place of the project's, whose segment has room for pictures; a user's own one stays."""
    for name in PROFILE_VARIABLES:
        chosen = Path(environment.get(name, ""))
        light = chosen.with_name(LIGHT) if chosen.name == FULL else chosen
        if light != chosen and light.exists():
            environment[name] = str(light)
