"""Shared by all tests: a DDS domain of this run's own, so that neither a running stack nor another run interferes."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# What takes long may only be waiting for a processor.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

# Ports of domains above 100 collide with ephemeral ports on Linux; below, 30..99 leave the usual small numbers alone.
os.environ["ROS_DOMAIN_ID"] = str(30 + os.getpid() % 70)
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def ros_context():
    """ROS in this process for the tests of one file: `pytestmark = pytest.mark.usefixtures("ros_context")`."""
    import rclpy  # most tests do without it

    from clwm_common.ros import claiming

    listen = claiming.LISTEN
    claiming.LISTEN = 0.05  # within one process nobody need be discovered
    rclpy.init()
    yield
    rclpy.try_shutdown()
    claiming.LISTEN = listen


@pytest.fixture(scope="session")
def is_alive():
    """process id -> whether such a process runs; one that ended and was not waited for does not."""

    def is_alive(process_id: int) -> bool:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        return "Z" not in Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]

    return is_alive
