"""Watches the running stack and records it. The demo's only contact with ROS."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from clwm_common.clock_watch import Pace
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, from_stamp
from clwm_common.ros.diagnostics import Health
from clwm_msgs.msg import ChunkTimeline
from clwm_operator.operator_node import OperatorNode, StackError, Wait
from clwm_operator.recording import Chunk, Frame, Recording

FRAME_PERIOD = 0.1  # s between recorded frames: half the cameras' rate is smooth enough, and half the work


class DemoNode(OperatorNode):
    """An operator that keeps pictures, chunks and the executor's metrics in `recording`."""

    def __init__(self, recording: Recording, name: str = "clwm_demo", is_simulated_time: bool = False) -> None:
        """is_simulated_time: live by /clock, as the stack does."""
        super().__init__(name, parameter_overrides=[Parameter("use_sim_time", value=is_simulated_time)])
        self._recording = recording
        self._pictures: dict[str, np.ndarray] = {}
        self._last_frame = -np.inf
        self._pace = Pace()
        for camera in recording.cameras:
            on_image = functools.partial(self._on_image, camera)
            self.create_subscription(Image, f"/cameras/{camera}/image_raw", on_image, qos.SENSOR_BUFFERED)

    def reconfigure(self, node: str, parameters: Mapping[str, Any], wait: Wait) -> None:
        """Take an active node down to unconfigured, set reconfigurable parameters, and make it active again.

        Raises StackError with the node's own reason when it refuses.
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
                raise StackError(f"{node} refused parameter '{name}' = {parameters[name]!r}: {answer.reason}")
        self._transition(node, Transition.TRANSITION_CONFIGURE, wait)
        self._transition(node, Transition.TRANSITION_ACTIVATE, wait)

    def _transition(self, node: str, number: int, wait: Wait) -> None:
        client = self.create_client(ChangeState, f"/{node}/change_state")
        response = self._call(client, ChangeState.Request(transition=Transition(id=number)), wait)
        self.destroy_client(client)
        if not response.success:
            reason = self.health[node].message if node in self.health else "see its log"
            raise StackError(f"{node} refused transition {number}: {reason}")

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

    def _on_chunk(self, message: ChunkTimeline) -> None:
        self._recording.chunks.append(Chunk.from_timeline(from_msg(message), self._look_at_clocks()))

    def _look_at_clocks(self) -> float:
        """How fast the stack's clock has been lately: a simulation may not keep up with what it was asked for."""
        return self._pace.look(time.monotonic(), self.now())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        self._look_at_clocks()
        summary = self.health.get("executor", Health()).values.get("summary")
        if summary:
            self._recording.executor = json.loads(summary)
