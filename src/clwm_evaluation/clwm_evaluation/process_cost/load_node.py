"""What the nodes that stand in for the rest of a stack have in common: time to work, a domain, pictures of now."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message

from clwm_common.ros import qos

STAMP = 4  # offset of header.stamp in a serialised message, behind four bytes of encapsulation


class LoadNode(Node):
    """A node that works for as long as it is asked to."""

    def work(self, seconds: float) -> None:
        """Play for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.executor.spin_once(timeout_sec=0.05)


class Pictures:
    """Sends one picture for ever on every topic, each time with the stamp of now."""

    def __init__(self, node: Node, message: Any, topics: Sequence[str]) -> None:
        """message: a sensor_msgs/Image or CompressedImage."""
        self._clock = node.get_clock()
        self._picture = bytearray(serialize_message(message))
        self._outputs = [node.create_publisher(type(message), topic, qos.SENSOR) for topic in topics]
        self.sent = 0

    def send(self) -> None:
        """Once on every topic."""
        struct.pack_into("<iI", self._picture, STAMP, *divmod(self._clock.now().nanoseconds, 1_000_000_000))
        for output in self._outputs:
            output.publish(bytes(self._picture))
            self.sent += 1


AnyNode = TypeVar("AnyNode", bound=Node)


@contextlib.contextmanager
def running(
    make: Callable[[rclpy.Context], AnyNode], domain: int, executor: type[Executor] = SingleThreadedExecutor
) -> Iterator[AnyNode]:
    """The node that `make` makes, in a ROS domain of its own, beside whatever else this process does."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = None
    try:
        node = make(context)
        spinner = executor(context=context)  # a node alone does not keep its executor alive
        spinner.add_node(node)
        yield node
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.shutdown(context=context)
