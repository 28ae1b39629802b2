"""A teleoperation source: publishes a human's targets, and asks the executor for the arms and gives them back."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node

from clwm_common.actions import GRIPPERS, JOINTS, POSES
from clwm_common.enclaves import OPERATOR, enclave_arguments
from clwm_common.messages import Mode, TeleopCommand
from clwm_common.ros import qos
from clwm_common.ros.claiming import ClaimListener
from clwm_common.ros.conversions import from_msg, to_msg
from clwm_msgs import msg
from clwm_msgs.srv import SetMode
from clwm_operator.operator_node import problem_with_masters
from clwm_operator.teleop.steering import OLDEST_ARMS, Arms


class TeleopSource:
    """What a node needs to be a source of targets; mixed into one that has `now()`."""

    def open_source(self: Any, source: str) -> None:
        """Publish targets from now on. source: name under which the arms are owned."""
        self._source = source
        self._targets = self.create_publisher(msg.TeleopCommand, "/clwm/teleop", qos.TELEOP)

    def ask(self, joints: NDArray[np.float64], openings: NDArray[np.float64]) -> None:
        """Hold the switch, and want joints (14,) rad and openings (2,) m."""
        self._ask(JOINTS, joints, openings)

    def ask_poses(self, poses: NDArray[np.float64], openings: NDArray[np.float64]) -> None:
        """Hold the switch, and want poses (2, 7) of the tool centre points and openings (2,) m."""
        self._ask(POSES, poses.ravel(), openings)

    def let_go(self: Any) -> None:
        """Release the switch."""
        self._targets.publish(to_msg(TeleopCommand(self.now(), self._source, False)))

    def _ask(self: Any, channels: slice, values: NDArray[np.float64], openings: NDArray[np.float64]) -> None:
        target, valid = np.zeros(30, np.float32), np.zeros(30, np.bool_)
        target[channels], target[GRIPPERS] = values, openings
        valid[channels] = valid[GRIPPERS] = True
        self._targets.publish(to_msg(TeleopCommand(self.now(), self._source, True, target, valid)))


class TeleopNode(TeleopSource, Node):
    """`joints` (14,), `poses` (2, 7) and `openings` (2,) are measured, None before the first.

    `status` is the executor's last word.
    """

    def __init__(self, source: str) -> None:
        super().__init__("clwm_teleop")
        self.joints: NDArray[np.float64] | None = None
        self.poses: NDArray[np.float64] | None = None
        self.openings: NDArray[np.float64] | None = None
        self.status: Any = None
        self._measured_at = -math.inf
        self._claims = ClaimListener(self)
        self.open_source(source)
        self._set_mode = self.create_client(SetMode, "/clwm/set_mode")
        self.create_subscription(msg.DualArmState, "/clwm/state", self._on_state, qos.STATE)
        self.create_subscription(msg.ModeStatus, "/clwm/mode", self._on_mode, qos.LATCHED)

    @property
    def is_ready(self) -> bool:
        """Whether the executor is there and says where the arms are."""
        is_heard = self._targets.get_subscription_count() > 0 and self._set_mode.service_is_ready()
        return is_heard and self.joints is not None and self.status is not None

    @property
    def arms(self) -> Arms | None:
        """As they are; None while nothing fresh is known of them."""
        if self.joints is None or time.monotonic() - self._measured_at > OLDEST_ARMS:
            return None
        return Arms(self.joints, self.openings, self.owns_the_arms)

    @property
    def owns_the_arms(self) -> bool:
        return self.status is not None and (self.status.mode, self.status.owner) == (Mode.TELEOP, self._source)

    @property
    def has_listened(self) -> bool:
        """Whether it is there for so long that `problem` says all."""
        return self._claims.has_listened

    @property
    def problem(self) -> str:
        """Why nobody may be steered: targets would reach more than one executor. Empty when all is well."""
        return problem_with_masters(self, self._claims)

    def listen(self, kind: type, topic: str, on_message: Callable[[Any], None]) -> None:
        """Hear a device; of what has come meanwhile only the newest."""
        self.create_subscription(kind, topic, on_message, qos.SENSOR)

    def spin(self, seconds: float) -> None:
        """Take in what has come, waiting at most so long for something."""
        rclpy.spin_once(self, timeout_sec=seconds)

    def now(self) -> float:
        """Seconds on the stack's clock."""
        return self.get_clock().now().nanoseconds * 1e-9

    def order(self, mode: Mode) -> Any:
        """Ask for a mode; the future's result has `accepted` and `message`."""
        return self._set_mode.call_async(SetMode.Request(mode=int(mode)))

    def _on_state(self, message: msg.DualArmState) -> None:
        self._measured_at = time.monotonic()
        values = from_msg(message).values.astype(np.float64)
        self.joints, self.poses, self.openings = values[JOINTS], values[POSES].reshape(2, 7), values[GRIPPERS]

    def _on_mode(self, message: msg.ModeStatus) -> None:
        self.status = from_msg(message)


@contextlib.contextmanager
def running_teleop_node(source: str, sim_time: bool = False) -> Iterator[TeleopNode]:
    """The node of a process of its own; the switch is released however it ends."""
    time_source = ["-p", "use_sim_time:=true"] if sim_time else []
    rclpy.init(args=["--ros-args", *enclave_arguments(OPERATOR), *time_source])
    node = TeleopNode(source)
    try:
        yield node
    finally:
        if rclpy.ok():
            node.let_go()
        node.destroy_node()
        rclpy.try_shutdown()
