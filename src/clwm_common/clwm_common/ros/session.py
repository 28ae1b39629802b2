"""ROS in a process that is no node of the graph: a command that looks at the stack, or orders something."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node

from clwm_common.enclaves import OPERATOR, enclave_arguments

NodeType = TypeVar("NodeType", bound=Node)


class RosSession(AbstractContextManager):
    """ROS for the nodes of this process, whose thread spins them; signals stay with the caller."""

    def __init__(self, make_executor: Callable[[], Executor] = SingleThreadedExecutor) -> None:
        arguments = ["--ros-args", *enclave_arguments(OPERATOR)]
        rclpy.init(args=arguments, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        self._executor = make_executor()
        self._nodes: list[Node] = []

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, node: NodeType) -> NodeType:
        """Have `node` served by `spin_once`, and destroyed by `close`."""
        self._executor.add_node(node)
        self._nodes.append(node)
        return node

    def spin_once(self, timeout_sec: float) -> None:
        """Serve what arrives within `timeout_sec` s."""
        self._executor.spin_once(timeout_sec=timeout_sec)

    def close(self) -> None:
        """Destroy the nodes and shut ROS down."""
        self._executor.shutdown(timeout_sec=1.0)
        for node in self._nodes:
            node.destroy_node()
        rclpy.try_shutdown()
