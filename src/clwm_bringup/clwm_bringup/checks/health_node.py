"""What the nodes of a running stack say of their health, heard for a moment: for `clwm doctor`."""

from __future__ import annotations

import json
import time

from clwm_operator.operator_node import OperatorNode, RosSession

LISTENS = 2.5  # s; health is told once a second


def main() -> None:
    """Print a JSON object: node name -> (level, message). Empty when no stack runs."""
    with RosSession() as session:
        node = session.add(OperatorNode())
        until = time.monotonic() + LISTENS
        while time.monotonic() < until:
            session.spin_once(timeout_sec=0.1)
        print(json.dumps({name: (health.level.name, health.told) for name, health in node.health.items()}))
