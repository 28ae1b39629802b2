"""The console's only contact with ROS: what it sees of the stack, and can order."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clwm_common.actions import GRIPPERS, JOINTS, POSES
from clwm_common.messages import ChunkTimeline, Judgement, MemoryPolicy, Mode
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg
from clwm_common.ros.executor import shortest_period
from clwm_common.ros.session import into
from clwm_common.verdicts import Verdicts
from clwm_msgs import msg
from clwm_msgs.srv import CheckTask, LabelCorrection, PolicyMemory, ResetWorld, SetMode, SetTask
from clwm_operator.console.page_state import path_story
from clwm_operator.console.pictures import JPEG, as_jpeg
from clwm_operator.console.projection import Pinhole
from clwm_operator.operator_node import OperatorNode, problem_with_masters
from clwm_operator.teleop.teleop_node import TeleopSource
from clwm_perception.image_formats import from_compressed, from_raw
from clwm_perception.preprocess import ImageError

SOURCE = "console"  # under which the arms are owned
PICTURE_PERIOD = 0.1  # s between two pictures of a camera
STATE_PERIOD = 0.04  # s between two looks at the measured arms


class MemoryAct(IntEnum):
    """What is done with the policy's memory, as PolicyMemory has it."""

    LIST = PolicyMemory.Request.LIST
    SAVE = PolicyMemory.Request.SAVE
    RESTORE = PolicyMemory.Request.RESTORE


class OrderError(RuntimeError):
    """An order that cannot be given; the message says why, and what to do."""


@dataclass(frozen=True)
class Picture:
    """taken_at: s on a steady clock. problem: why there is no JPEG; empty when there is one."""

    number: int
    taken_at: float
    jpeg: bytes = b""
    problem: str = ""


@dataclass(frozen=True)
class Measured:
    """The arms at `heard_at` (steady clock, s): joints (14,) rad, poses (2, 7), openings (2,) m."""

    heard_at: float
    joints: NDArray[np.float64]
    poses: NDArray[np.float64]
    openings: NDArray[np.float64]


class ConsoleNode(TeleopSource, OperatorNode):
    """Pictures and measured arms are subscribed to only while somebody watches: without, the console costs little.

    All instants are of the steady clock. on_picture(camera), on_chunk(timeline) and on_path(story), which is where the
    tools of a new chunk go in a camera's picture, are told on the thread of ROS.
    """

    def __init__(
        self,
        robot: RobotDescription,
        on_picture: Callable[[str], None] = lambda camera: None,
        on_chunk: Callable[[ChunkTimeline], None] = lambda timeline: None,
        on_path: Callable[[dict[str, Any]], None] = lambda story: None,
        is_simulated_time: bool = False,
    ) -> None:
        """is_simulated_time: live by /clock, as the stack does."""
        super().__init__("clwm_console", parameter_overrides=[Parameter("use_sim_time", value=is_simulated_time)])
        self._robot = robot
        self._tell_picture, self._tell_chunk, self._tell_path = on_picture, on_chunk, on_path
        mountings = {name: robot.camera_source(name).mounting for name in robot.cameras}
        self._mountings = {name: it for name, it in mountings.items() if it is not None and it.parent == "world"}
        self._pinholes: dict[str, Pinhole] = {}
        self.pictures: dict[str, Picture] = {}
        self.measured: Measured | None = None
        self.verdicts = Verdicts()
        self.health_at: dict[str, float] = {}
        self._watched: list[Any] = []
        self.create_subscription(msg.Verdict, "/clwm/verdict", self._on_verdict, qos.VERDICT)
        self.open_source(SOURCE)
        self._set_mode = self.create_client(SetMode, "/clwm/set_mode")
        self._check_task = self.create_client(CheckTask, "/clwm/check_task")
        self._memory = self.create_client(PolicyMemory, "/clwm/policy_memory")
        self._label = self.create_client(LabelCorrection, "/clwm/label_correction")

    def watch(self, is_watched: bool) -> None:
        """See pictures and measured arms, or do without. On the thread of ROS."""
        if is_watched and not self._watched:
            self._watched = [self._camera(name) for name in self._robot.cameras]
            for camera in self._watched:
                shortest_period(camera, 0.9 * PICTURE_PERIOD)
            state = self.create_subscription(msg.DualArmState, "/clwm/state", self._on_state, qos.SENSOR)
            self._watched.append(shortest_period(state, STATE_PERIOD))
            self._watched.append(
                self.create_subscription(msg.ActionChunk, "/clwm/action_chunk", self._on_rows, qos.CRITICAL)
            )
            for name in self._mountings:
                topic, on_info = self._robot.camera_source(name).info_topic, functools.partial(self._on_info, name)
                self._watched.append(
                    shortest_period(self.create_subscription(CameraInfo, topic, on_info, qos.SENSOR), 1.0)
                )
        elif not is_watched:
            for subscription in self._watched:
                self.destroy_subscription(subscription)
            self._watched.clear()
            self.pictures, self.measured = {}, None

    @property
    def owns_the_arms(self) -> bool:
        return self.mode is not None and (self.mode.mode, self.mode.owner) == (Mode.TELEOP, SOURCE)

    def stop(self, mode: Mode) -> Future[Any]:
        """Order HOLD or ESTOP, to all executors there are. Raises OrderError."""
        return self._order(self._set_mode, SetMode.Request(mode=int(mode)))

    def choose(self, mode: Mode) -> Future[Any]:
        """Order POLICY or TELEOP. Raises OrderError."""
        self._require_one_executor()
        return self._order(self._set_mode, SetMode.Request(mode=int(mode)))

    def give_task(
        self, instruction: str, goal: str, memory: MemoryPolicy, seed: int, insist: bool, accept_estimate: bool
    ) -> Future[Any]:
        """Give the arms a task, as `OperatorNode.set_task` does. Raises OrderError."""
        self._require_one_executor()
        request = SetTask.Request(
            instruction=instruction,
            goal=goal,
            memory_policy=int(memory),
            episode_seed=seed,
            insist=insist,
            accept_estimate=accept_estimate,
        )
        return self._order(self._set_task, request)

    def end_task(self, outcome: Judgement, reason: str) -> None:
        """An operator's verdict on the present task, which ends it. Raises OrderError where there is none."""
        self._require_one_executor()
        if not self.has_task:
            raise OrderError("there is no task to judge: nothing is asked of the arms")
        self.say(outcome, reason)

    def ask_about(self, instruction: str, memory: MemoryPolicy) -> Future[Any]:
        """Would the policy take this task? Raises OrderError."""
        return self._order(self._check_task, CheckTask.Request(instruction=instruction, memory_policy=int(memory)))

    def reset(self, task: str, seed: int) -> Future[Any]:
        """Begin an episode of the simulated world. Raises OrderError."""
        return self._order(self._reset, ResetWorld.Request(task=task, seed=seed))

    def label_correction(self, label: CorrectionLabel) -> Future[Any]:
        """Say of the last correction what it was. Raises OrderError."""
        return self._order(
            self._label, LabelCorrection.Request(label=int(label)), "nothing is recorded; start clwm record"
        )

    @property
    def is_recorded(self) -> bool:
        """Whether a recorder runs."""
        return self._label.service_is_ready()

    def remember(self, act: MemoryAct, name: str = "") -> Future[Any]:
        """Save or restore a memory of the policy, or list them. Raises OrderError."""
        return self._order(self._memory, PolicyMemory.Request(act=int(act), name=name))

    def _order(self, client: Any, request: Any, remedy: str = "is the stack up (clwm up)?") -> Future[Any]:
        if not client.service_is_ready():
            raise OrderError(f"nobody serves {client.srv_name}; {remedy}")
        return into(client.call_async(request))

    def _require_one_executor(self) -> None:
        if problem := problem_with_masters(self, self._claims):
            raise OrderError(problem)

    def _camera(self, name: str) -> Any:
        source = self._robot.camera_source(name)
        if source.transport == "compressed":
            kind, take = CompressedImage, self._on_compressed
        else:
            kind, take = Image, self._on_image
        return self.create_subscription(kind, source.topic, functools.partial(take, name), qos.SENSOR)

    def _on_compressed(self, camera: str, message: CompressedImage) -> None:
        data = message.data.tobytes()
        self._show(camera, lambda: data if data[:2] == JPEG else as_jpeg(from_compressed(message.format, data)))

    def _on_image(self, camera: str, it: Image) -> None:
        picture = it.encoding, it.height, it.width, it.step, it.data, bool(it.is_bigendian)
        self._show(camera, lambda: as_jpeg(from_raw(*picture)))

    def _show(self, camera: str, make: Callable[[], bytes]) -> None:
        try:
            self._keep(camera, make(), "")
        except ImageError as error:
            self._keep(camera, b"", str(error))

    def _keep(self, camera: str, jpeg: bytes, problem: str) -> None:
        number = self.pictures[camera].number + 1 if camera in self.pictures else 1
        self.pictures[camera] = Picture(number, time.monotonic(), jpeg, problem)
        self._tell_picture(camera)

    def _on_info(self, camera: str, message: CameraInfo) -> None:
        self._pinholes[camera] = Pinhole(np.array(message.k).reshape(3, 3), message.width, message.height)

    def _on_rows(self, message: msg.ActionChunk) -> None:
        chunk = from_msg(message)
        for camera, pinhole in self._pinholes.items():
            if pinhole.is_usable:
                self._tell_path(path_story(chunk, camera, self._mountings[camera], pinhole))

    def _on_state(self, message: msg.DualArmState) -> None:
        values = from_msg(message).values.astype(np.float64)
        self.measured = Measured(time.monotonic(), values[JOINTS], values[POSES].reshape(2, 7), values[GRIPPERS])

    def _on_verdict(self, message: msg.Verdict) -> None:
        self.verdicts.add(from_msg(message))

    def _on_chunk(self, message: msg.ChunkTimeline) -> None:
        super()._on_chunk(message)
        self._tell_chunk(from_msg(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        for status in message.status:
            self.health_at[status.name] = time.monotonic()
