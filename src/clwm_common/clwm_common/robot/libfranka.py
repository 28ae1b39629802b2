"""How an arm is reached by libfranka, and what it is told of itself before it moves."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from clwm_common.files.config_files import Strict

Positive = Annotated[float, Field(gt=0.0)]


class Collision(Strict):
    """Thresholds beyond which the arm stops by a reflex: torque N m, force N (x, y, z) and N m (about x, y, z)."""

    torque: Annotated[list[Positive], Field(min_length=7, max_length=7)] = [40.0, 40.0, 36.0, 36.0, 32.0, 28.0, 24.0]
    force: Annotated[list[Positive], Field(min_length=6, max_length=6)] = [40.0, 40.0, 40.0, 50.0, 50.0, 50.0]


class Payload(Strict):
    """What the flange carries beside the hand: mass kg, centre m in the flange's frame, inertia kg m^2 by columns."""

    mass: float = Field(0.0, ge=0.0, le=3.0)
    centre: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    inertia: Annotated[list[float], Field(min_length=9, max_length=9)] = [0.0] * 9


class Libfranka(Strict):
    """address: of the robot's control; one of this machine's own (127.x.x.x) is the simulation's.

    real_time: whether the driver must have real-time scheduling, as a real arm asks for.
    """

    address: Annotated[str, Field(min_length=1)]
    real_time: bool = False
    collision: Collision = Collision()
    payload: Payload = Payload()

    @property
    def is_simulated(self) -> bool:
        """Whether the address can only be a simulation's."""
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"


def check_reached(arms: Mapping[str, Any]) -> None:
    """Raise ValueError unless both arms, by side, are such that libfranka's drivers can move them."""
    for side, arm in arms.items():
        if arm.libfranka is None:
            raise ValueError(f"driver is libfranka, and {side} has no libfranka; give its address")
        if arm.controller.kind != "jtc" or getattr(arm.gripper.command, "type", "") != "MoveGripper":
            raise ValueError(
                "driver is libfranka, which takes trajectories and goals of hands; expected controller {kind: jtc} and "
                f"gripper.command {{kind: action, type: MoveGripper}} of {side}"
            )
        if not (arm.joint_states_topic and arm.gripper.joint_states_topic):
            raise ValueError(f"driver is libfranka; give the {side} arm and its gripper a joint_states_topic each")
    addresses = [arm.libfranka.address for arm in arms.values()]
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"libfranka.address of both arms is {addresses[0]}; expected one for each")
    if len({arm.libfranka.is_simulated for arm in arms.values()}) > 1:
        raise ValueError("one libfranka address is of this machine and one is not; both arms are real, or neither")
