"""What the executor works for, played to it over DDS: arms that follow, and a policy whose chunks come in time."""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from clwm_common.actions import CHUNK_ROWS, JOINTS, ROW_DT
from clwm_common.messages import ActionChunk as CoreChunk
from clwm_common.messages import ChunkRequest as CoreRequest
from clwm_common.robot.description import RobotDescription, config_directory
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, from_stamp, to_msg
from clwm_common.ros.diagnostics import from_status
from clwm_evaluation.process_cost.load_node import STAMP, LoadNode, running
from clwm_msgs.msg import ActionChunk, ChunkRequest, TaskStatus
from clwm_msgs.srv import CheckTask, SetTask

STATE_PERIOD = 0.01  # s
LATENCY = 0.1  # s from the instant of the observation to the chunk
SWING, SWING_PERIOD = 0.1, 4.0  # rad, s: how far and how fast the joints are moved to and fro
APART = "two_topics"  # the robot whose arms publish apart


@contextlib.contextmanager
def arms_apart(robot: str) -> Iterator[Path]:
    """A config folder in which the robot APART is `robot`, with a joint state topic for each arm."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(copytree(config_directory(), Path(folder) / "config"))
        sides = {side: {"joint_states_topic": f"/{side}/joint_states"} for side in ("left", "right")}
        described = {"extends": robot, "name": APART, "driver": "external", **sides}
        (config / "robots" / f"{APART}.yaml").write_text(yaml.safe_dump(described))
        yield config


class FastJointStates:
    """A thread that publishes what `update` was given last, `rate` times a second on every topic.

    A driver's own rate: only the stamp changes from message to message.
    """

    def __init__(self, publishers: Sequence[Publisher], rate: float, clock: Callable[[], float]) -> None:
        self._publishers, self._period, self._clock = publishers, 1.0 / rate, clock
        self._bytes: list[bytearray] = []
        self.sent = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def update(self, messages: Sequence[JointState]) -> None:
        """One message for each publisher; their stamps are set when they leave."""
        self._bytes = [bytearray(serialize_message(message)) for message in messages]
        if not self._thread.is_alive() and not self._is_over.is_set():
            self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._is_over.is_set():
            due = max(due + self._period, time.monotonic() - 0.05)
            time.sleep(max(0.0, due - time.monotonic()))
            seconds, nanoseconds = divmod(round(1e9 * self._clock()), 1_000_000_000)
            for publisher, data in zip(self._publishers, self._bytes, strict=True):
                struct.pack_into("<iI", data, STAMP, seconds, nanoseconds)
                publisher.publish(bytes(data))
            self.sent += 1


class ExecutorLoadNode(LoadNode):
    """Joint states that follow the trajectories, and an answer to every request."""

    def __init__(self, robot: RobotDescription, rate: float = 1.0 / STATE_PERIOD, **kwargs: Any) -> None:
        """rate: Hz of joint states on every topic; positions in them are new 100 times a second."""
        super().__init__("executor_load", **kwargs)
        self._robot = robot
        self._position = robot.home.copy()
        self._trajectories: list[tuple[np.ndarray, np.ndarray] | None] = [None, None]
        self._due: tuple[float, CoreRequest] | None = None
        self.chunks = 0
        self.summary: dict[str, Any] = {}
        self.status = ""
        outputs = [self.create_publisher(JointState, one.topic, qos.SENSOR) for one in robot.joint_sources()]
        self._joints = FastJointStates(outputs, rate, self._now)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.REPORT)
        self._answers = self.create_publisher(ActionChunk, "/clwm/action_chunk", qos.CRITICAL)
        self._set_task = self.create_client(SetTask, "/clwm/set_task")
        self.create_service(CheckTask, "/clwm/check_task", _take_any_task)
        self.create_subscription(ChunkRequest, "/clwm/chunk_request", self._on_request, qos.CRITICAL)
        self.create_subscription(TaskStatus, "/clwm/task_status", self._on_status, qos.LATCHED)
        for index, arm in enumerate(robot.arms):
            is_forward = arm.controller.kind == "forward"
            kind, follow = (Float64MultiArray, self._go) if is_forward else (JointTrajectory, self._follow)
            self.create_subscription(
                kind,
                arm.controller.topic,
                lambda message, index=index, follow=follow: follow(index, message),
                qos.SETPOINT,
            )
        self.create_timer(STATE_PERIOD, self._tick)

    def ask_for_motion(self) -> bool:
        """Give the executor its task; False while it is not there yet."""
        if not self._set_task.service_is_ready():
            return False
        self._set_task.call_async(SetTask.Request(instruction="swing to and fro"))
        return True

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _follow(self, arm: int, message: JointTrajectory) -> None:
        stamp = from_stamp(message.header.stamp)
        times = np.array([stamp + from_stamp(point.time_from_start) for point in message.points])
        self._trajectories[arm] = times, np.array([point.positions for point in message.points])

    def _go(self, arm: int, message: Float64MultiArray) -> None:
        self._position[self._robot.columns(arm)] = message.data

    def _tick(self) -> None:
        now = self._now()
        for arm, trajectory in enumerate(self._trajectories):
            if trajectory is not None:
                times, positions = trajectory
                self._position[self._robot.columns(arm)] = [np.interp(now, times, column) for column in positions.T]
        everything = [*self._position.tolist(), 0.04, 0.04]
        self._joints.update(
            [
                JointState(
                    name=list(one.names),
                    position=[everything[place] for place in one.places],
                    velocity=[0.0] * len(one.places),
                )
                for one in self._robot.joint_sources()
            ]
        )
        if self._due is not None and now >= self._due[0]:
            self._answers.publish(to_msg(self._chunk(self._due[1])))
            self._due = None
            self.chunks += 1

    @property
    def states(self) -> int:
        """How many joint states have been sent on each topic."""
        return self._joints.sent

    def destroy_node(self) -> None:
        self._joints.close()
        super().destroy_node()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = from_status(status).values
            if status.name == "executor" and "summary" in values:
                self.summary = json.loads(values["summary"])

    def _on_status(self, message: TaskStatus) -> None:
        self.status = str(from_msg(message))

    def _on_request(self, message: ChunkRequest) -> None:
        if message.kind == ChunkRequest.GENERATE:
            request = from_msg(message)
            self._due = max(self._now(), request.observe_at) + LATENCY, request

    def _chunk(self, request: CoreRequest) -> CoreChunk:
        """A chunk that repeats its committed rows and swings on about home; what they are off by is made up for."""
        prefix = len(request.committed_prefix)
        rows = np.repeat(request.committed_prefix[-1:], CHUNK_ROWS, axis=0)
        rows[:prefix] = request.committed_prefix
        instants = request.observe_at + ROW_DT * np.arange(CHUNK_ROWS)
        swing = self._robot.home + SWING * np.sin(2.0 * np.pi * instants / SWING_PERIOD)[:, None]
        astray = rows[prefix - 1, JOINTS] - swing[prefix - 1]
        left = (1.0 + np.cos(np.pi * np.linspace(0.0, 1.0, CHUNK_ROWS - prefix + 1)[1:])) / 2.0
        rows[prefix:, JOINTS] = swing[prefix:] + left[:, None] * astray
        return CoreChunk(
            request.chunk_id,
            request.task_epoch,
            request.observe_at,
            rows,
            prefix_rows=prefix,
            observation_stamp=request.observe_at,
        )


def _take_any_task(_: CheckTask.Request, response: CheckTask.Response) -> CheckTask.Response:
    response.accepted = True
    return response


def running_load_node(
    robot: RobotDescription, domain: int, rate: float
) -> contextlib.AbstractContextManager[ExecutorLoadNode]:
    """The node in a ROS domain of its own."""
    return running(lambda context: ExecutorLoadNode(robot, rate, context=context), domain)
