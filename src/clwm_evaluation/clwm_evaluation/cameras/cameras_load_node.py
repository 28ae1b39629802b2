"""Three cameras and a policy for the perception process: pictures at their rate, and a request a chunk."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence

import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message

from clwm_common.ros import qos
from clwm_evaluation.cameras.kinds import Kind
from clwm_msgs.msg import FeatureFrame, ObservationRequest

PERIOD = 0.05  # s between two pictures of a camera
CHUNK = 0.6  # s between two requests: 12 rows
_STAMP = 4  # offset of header.stamp in a serialised message, behind four bytes of encapsulation


class CamerasLoadNode(Node):
    """Sends the same picture for ever, each time with the stamp of now."""

    def __init__(self, kind: Kind, topics: Sequence[str], **given) -> None:
        super().__init__("cameras_load", **given)
        message = kind.message()
        self._picture = bytearray(serialize_message(message))
        self._outputs = [self.create_publisher(type(message), topic, qos.SENSOR) for topic in topics]
        self._requests = self.create_publisher(ObservationRequest, "/clwm/observation_request", qos.CRITICAL)
        self.create_subscription(FeatureFrame, "/clwm/feature_frame", self._on_frame, qos.CRITICAL)
        self.create_timer(PERIOD, self._send)
        self.create_timer(CHUNK, self._ask)
        self.pictures = self.frames = self._asked = 0

    def work(self, seconds: float) -> None:
        """Play for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.executor.spin_once(timeout_sec=0.05)

    def _send(self) -> None:
        seconds, nanoseconds = divmod(self.get_clock().now().nanoseconds, 1_000_000_000)
        struct.pack_into("<iI", self._picture, _STAMP, seconds, nanoseconds)
        for output in self._outputs:
            output.publish(bytes(self._picture))
            self.pictures += 1

    def _ask(self) -> None:
        self._asked += 1
        seconds, nanoseconds = divmod(self.get_clock().now().nanoseconds + 20_000_000, 1_000_000_000)
        self._requests.publish(
            ObservationRequest(chunk_id=self._asked, observe_at=Time(sec=seconds, nanosec=nanoseconds))
        )

    def _on_frame(self, _: FeatureFrame) -> None:
        self.frames += 1


@contextlib.contextmanager
def running_load_node(kind: Kind, topics: Sequence[str], domain: int) -> Iterator[CamerasLoadNode]:
    """The node in a ROS domain of its own, beside whatever else this process does."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = None
    try:
        node = CamerasLoadNode(kind, topics, context=context)
        spinner = SingleThreadedExecutor(context=context)  # a node alone does not keep its executor alive
        spinner.add_node(node)
        yield node
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.shutdown(context=context)
