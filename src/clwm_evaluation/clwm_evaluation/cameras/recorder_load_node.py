"""What the recorder has to keep of a running stack: pictures of three cameras, joints and measured states."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence

import rclpy
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from clwm_common.ros import qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_evaluation.cameras.cameras_load_node import PERIOD
from clwm_evaluation.cameras.kinds import Kind
from clwm_msgs.msg import DualArmState

JOINT_PERIOD = 0.004  # s
_STAMP = 4  # offset of header.stamp in a serialised message, behind four bytes of encapsulation


class RecorderLoadNode(Node):
    """Sends the same messages for ever; pictures with the stamp of now."""

    def __init__(self, kind: Kind, topics: Sequence[str], joints: int, **given) -> None:
        super().__init__("recorder_load", **given)
        message = kind.message()
        self._picture = bytearray(serialize_message(message))
        self._pictures = [self.create_publisher(type(message), topic, qos.SENSOR) for topic in topics]
        self._joints = self.create_publisher(JointState, "/joint_states", qos.SENSOR)
        self._states = self.create_publisher(DualArmState, "/clwm/state", qos.STATE)
        names = [f"joint_{number}" for number in range(joints)]
        self._joint_state = serialize_message(JointState(name=names, position=[0.1] * joints, velocity=[0.0] * joints))
        self._state = serialize_message(DualArmState())
        self.create_timer(PERIOD, self._send_pictures)
        self.create_timer(JOINT_PERIOD, self._send_joints)

    def work(self, seconds: float) -> None:
        """Play for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.executor.spin_once(timeout_sec=0.05)

    def _send_pictures(self) -> None:
        seconds, nanoseconds = divmod(self.get_clock().now().nanoseconds, 1_000_000_000)
        struct.pack_into("<iI", self._picture, _STAMP, seconds, nanoseconds)
        for output in self._pictures:
            output.publish(bytes(self._picture))

    def _send_joints(self) -> None:
        self._joints.publish(self._joint_state)
        self._states.publish(self._state)


@contextlib.contextmanager
def running_recorder_load(kind: Kind, topics: Sequence[str], joints: int, domain: int) -> Iterator[RecorderLoadNode]:
    """The node in a ROS domain of its own, beside whatever else this process does."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = None
    try:
        node = RecorderLoadNode(kind, topics, joints, context=context)
        spinner = StaticSingleThreadedExecutor(context=context)  # a node alone does not keep its executor alive
        spinner.add_node(node)
        yield node
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.shutdown(context=context)
