"""ROS in a process that is no node of the graph: a command that looks at the stack, or orders something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from clwm_common.enclaves import OPERATOR, enclave_arguments
from clwm_common.ros.executor import StaticSingleThreadedExecutor

NodeType = TypeVar("NodeType", bound=Node)
Result = TypeVar("Result")


class RosSession(AbstractContextManager):
    """ROS for the nodes of this process, whose thread spins them; signals stay with the caller."""

    def __init__(
        self,
        make_executor: Callable[[], Executor] = SingleThreadedExecutor,
        sim_time: bool = False,
        remappings: Mapping[str, str] | None = None,
    ) -> None:
        """sim_time: whether the nodes live by /clock. remappings: topics by other names than the nodes have."""
        rules = [word for name, other in (remappings or {}).items() for word in ("-r", f"{name}:={other}")]
        time_source = ["-p", "use_sim_time:=true"] if sim_time else []
        arguments = ["--ros-args", *enclave_arguments(OPERATOR), *rules, *time_source]
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
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


class RosThread(AbstractContextManager):
    """ROS on a thread of its own, for a process whose main thread does something else.

    Serves the nodes of this process from `__enter__` on; signals stay with the caller.

    on_end: told on that thread why ROS is served no longer: an error that a callback raised.
    """

    def __init__(self, on_end: Callable[[Exception], None] = lambda error: None) -> None:
        arguments = ["--ros-args", *enclave_arguments(OPERATOR)]
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        self._executor = StaticSingleThreadedExecutor()
        self._on_end = on_end
        self._nodes: list[Node] = []
        self._is_asked_to_end = False
        self._thread = threading.Thread(target=self._serve, name="ros", daemon=True)

    def __enter__(self) -> RosThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_asked_to_end = True
        self._executor.wake()
        self._thread.join(timeout=2.0)
        self._executor.shutdown(timeout_sec=1.0)
        for node in self._nodes:
            node.destroy_node()
        rclpy.try_shutdown()

    def add(self, node: NodeType) -> NodeType:
        """Have `node` served, and destroyed at the end."""
        self._executor.add_node(node)
        self._nodes.append(node)
        return node

    def run(self, work: Callable[[], Result]) -> Future[Result]:
        """Do this on the thread of ROS, between two callbacks. May be called from any thread."""
        future: Future[Result] = Future()

        def do() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # it is for whoever asked
                future.set_exception(error)

        self._executor.create_task(do)
        return future

    def _serve(self) -> None:
        try:
            while not self._is_asked_to_end:
                self._executor.spin_once(timeout_sec=1.0)
        except ExternalShutdownException:
            return
        except Exception as error:
            self._on_end(error)


def into(ros_future: Any) -> Future[Any]:
    """The answer that rclpy waits for, as a future that other threads may wait for."""
    future: Future[Any] = Future()

    def done(answered: Any) -> None:
        if future.set_running_or_notify_cancel():
            if (error := answered.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(answered.result())

    ros_future.add_done_callback(done)
    return future
