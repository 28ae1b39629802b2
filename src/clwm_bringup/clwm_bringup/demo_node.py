"""Watches the running stack, records it, and calls its services. The demo's only contact with ROS."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clwm_bringup.access_rights import OPERATOR, enclave_arguments
from clwm_bringup.recording import Chunk, Frame, Recording
from clwm_common.messages import Mode
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_common.ros.diagnostics import Health, Level, from_status
from clwm_msgs.msg import EpisodeStatus
from clwm_msgs.srv import ResetWorld, SetMode, SetTask

FRAME_PERIOD = 0.1  # s between recorded frames: half the cameras' rate is smooth enough, and half the work


class DemoError(RuntimeError):
    """The stack did not do what the demo needs; the message says which part and what to look at."""


NodeType = TypeVar("NodeType", bound=Node)


class RosSession(AbstractContextManager):
    """ROS for the nodes of this process, whose thread spins them; signals stay with the caller."""

    def __init__(self) -> None:
        arguments = ["--ros-args", *enclave_arguments(OPERATOR)]
        rclpy.init(args=arguments, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        self._executor = SingleThreadedExecutor()
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


class DemoNode(Node):
    """`health` has the last diagnostics by node name, `episode` the world's last word, `status` the executor's."""

    def __init__(self, recording: Recording, name: str = "clwm_demo") -> None:
        super().__init__(name)
        self._recording = recording
        self._pictures: dict[str, np.ndarray] = {}
        self._last_frame = -np.inf
        self.health: dict[str, Health] = {}
        self.episode: EpisodeStatus | None = None
        self.status: dict[str, Any] = {}
        for camera in recording.cameras:
            on_image = functools.partial(self._on_image, camera)
            self.create_subscription(Image, f"/cameras/{camera}/image_raw", on_image, qos.SENSOR_BUFFERED)
        self.create_subscription(String, "/clwm/chunk_timeline", self._on_chunk, qos.REPORT)
        self.create_subscription(String, "/clwm/task_status", self._on_status, qos.LATCHED)
        self.create_subscription(EpisodeStatus, "/clwm_sim/episode", self._on_episode, qos.REPORT)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.REPORT)
        self._reset = self.create_client(ResetWorld, "/clwm_sim/reset")
        self._set_task = self.create_client(SetTask, "/clwm/set_task")

    def now(self) -> float:
        """Seconds on the stack's clock."""
        return self.get_clock().now().nanoseconds * 1e-9

    def is_active(self, name: str) -> bool:
        """Whether node `name` works. Raises DemoError with its reason when it refused to, or stopped."""
        health = self.health.get(name)
        if health is not None and not health.is_active and health.level is Level.ERROR:
            raise DemoError(f"the stack did not come up: {name}: {health.message}")
        return health is not None and health.is_active

    def reset_world(self, task: str, seed: int, wait: Callable[[Callable[[], bool], str], None]) -> str:
        """Begin an episode; return its instruction. wait(condition, what) spins, and raises DemoError when it lasts."""
        response = self._call(self._reset, ResetWorld.Request(task=task, seed=seed), wait)
        if not response.accepted:
            raise DemoError(f"the world refused to be reset to {task}, seed {seed}: {response.message}")
        return response.instruction

    def set_task(self, instruction: str, seed: int, wait: Callable[[Callable[[], bool], str], None]) -> None:
        """Give the arms a task with a fresh memory."""
        request = SetTask.Request(
            instruction=instruction, memory_policy=SetTask.Request.MEMORY_RESET, episode_seed=seed
        )
        response = self._call(self._set_task, request, wait)
        if not response.accepted:
            raise DemoError(f"the executor refused the task '{instruction}': {response.message}")

    def set_mode(self, mode: Mode, wait: Callable[[Callable[[], bool], str], None]) -> None:
        """Choose who moves the arms."""
        client = self.create_client(SetMode, "/clwm/set_mode")
        response = self._call(client, SetMode.Request(mode=int(mode)), wait)
        self.destroy_client(client)
        if not response.accepted:
            raise DemoError(f"the executor refused the mode {mode.name}: {response.message}")

    def reconfigure(
        self, node: str, parameters: Mapping[str, Any], wait: Callable[[Callable[[], bool], str], None]
    ) -> None:
        """Take an active node down to unconfigured, set reconfigurable parameters, and make it active again.

        Raises DemoError with the node's own reason when it refuses.
        """
        self._transition(node, Transition.TRANSITION_DEACTIVATE, wait)
        self._transition(node, Transition.TRANSITION_CLEANUP, wait)
        client = self.create_client(SetParameters, f"/{node}/set_parameters")
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg() for name, value in parameters.items()]
        )
        answers = self._call(client, request, wait).results
        self.destroy_client(client)
        for name, answer in zip(parameters, answers, strict=True):
            if not answer.successful:
                raise DemoError(f"{node} refused parameter '{name}' = {parameters[name]!r}: {answer.reason}")
        self._transition(node, Transition.TRANSITION_CONFIGURE, wait)
        self._transition(node, Transition.TRANSITION_ACTIVATE, wait)

    def _transition(self, node: str, number: int, wait: Callable[[Callable[[], bool], str], None]) -> None:
        client = self.create_client(ChangeState, f"/{node}/change_state")
        response = self._call(client, ChangeState.Request(transition=Transition(id=number)), wait)
        self.destroy_client(client)
        if not response.success:
            reason = self.health[node].message if node in self.health else "see its log"
            raise DemoError(f"{node} refused transition {number}: {reason}")

    def _call(self, client: Any, request: Any, wait: Callable[[Callable[[], bool], str], None]) -> Any:
        wait(client.service_is_ready, f"service {client.srv_name}")
        future = client.call_async(request)
        wait(future.done, f"the answer of {client.srv_name}")
        return future.result()

    def _on_image(self, camera: str, message: Image) -> None:
        stamp = from_stamp(message.header.stamp)
        # The first camera sets the pace; the others are at most one period older.
        if camera == self._recording.cameras[0] and stamp - self._last_frame < FRAME_PERIOD * 0.9:
            return
        flat = np.frombuffer(message.data, dtype=np.uint8)
        self._pictures[camera] = flat.reshape(message.height, message.step)[:, : 3 * message.width].reshape(
            message.height, message.width, 3
        )
        if camera != self._recording.cameras[0] or len(self._pictures) < len(self._recording.cameras):
            return
        self._last_frame = stamp
        pictures = np.stack([self._pictures[name] for name in self._recording.cameras])
        status = self.status
        frame = Frame(stamp, pictures, status.get("mode", ""), status.get("phase", ""), status.get("instruction", ""))
        self._recording.frames.append(frame)

    def _on_chunk(self, message: String) -> None:
        self._recording.chunks.append(Chunk.from_timeline(json.loads(message.data)))

    def _on_status(self, message: String) -> None:
        self.status = json.loads(message.data)

    def _on_episode(self, message: EpisodeStatus) -> None:
        self.episode = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.health[status.name] = from_status(status)
        summary = self.health.get("executor", Health()).values.get("summary")
        if summary:
            self._recording.executor = json.loads(summary)
