"""What the nodes of a running stack say of their health, heard for a moment: for `clwm doctor`."""

from __future__ import annotations

import json
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray

from clwm_common.ros import qos
from clwm_common.ros.diagnostics import Health, from_status
from clwm_common.ros.session import RosSession

LISTENS = 2.5  # s; health is told once a second


def main() -> None:
    """Print a JSON object: node name -> (level, message). Empty when no stack runs."""
    heard: dict[str, Health] = {}
    with RosSession() as session:
        node = session.add(rclpy.create_node("clwm_operator"))

        def hear(message: DiagnosticArray) -> None:
            heard.update({status.name: from_status(status) for status in message.status})

        node.create_subscription(DiagnosticArray, "/diagnostics", hear, qos.REPORT)
        until = time.monotonic() + LISTENS
        while time.monotonic() < until:
            session.spin_once(timeout_sec=0.1)
    print(json.dumps({name: (health.level.name, health.told) for name, health in heard.items()}))
