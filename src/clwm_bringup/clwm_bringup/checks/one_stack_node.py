"""Whether another stack, or a part of one, runs where this one is to be started; asked before anything is started."""

from __future__ import annotations

import os
from collections.abc import Iterable

import rclpy

from clwm_common.claims import Claim
from clwm_common.ros.claiming import RoleClaim
from clwm_common.ros.session import RosSession
from clwm_common.ros.transport import send_small_messages_only

STACK = "stack"


def problem_with_another(roles: Iterable[str]) -> str:
    """Listens for a second. Says who has one of `roles` already, or starts a stack right now; empty when nobody does.

    Of several that ask at the same time, one gets an empty answer.
    """
    send_small_messages_only()
    wanted = set(roles)
    with RosSession() as session:
        own = RoleClaim(session.add(rclpy.create_node("clwm_up")), STACK)

        def part_of_another() -> Claim | None:
            return next((it for it in own.living() if it.role in wanted), None)

        found = own.acquire((f"/{STACK}",), part_of_another)
        own.release()
    if found is None:
        return ""
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return (
        f"another stack is on ROS_DOMAIN_ID {domain}: the {found.role} {found}; end it first (Ctrl-C where it was "
        f"started, or kill {found.pid} on {found.host}), or start this one with another ROS_DOMAIN_ID"
    )
