"""Watches the stack under `clwm chaos` from outside: what the arms did, what was said; and plays the operator."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from clwm_chaos.faults.relay import Tampering
from clwm_chaos.faults.relay_node import APPLIED_TOPIC, TAMPERING_TOPIC, UPSTREAM
from clwm_chaos.faults.verdict import Requested, Sent
from clwm_chaos.motion_checks import check_motion
from clwm_chaos.motion_record import MotionRecord
from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_common.ros.diagnostics import Health, Level, from_status
from clwm_common.ros.session import RosSession
from clwm_msgs.msg import ChunkRequest, TaskStatus
from clwm_msgs.srv import SetMode
from clwm_operator.demo.demo_node import DemoNode
from clwm_operator.recording import Recording
from clwm_sai_executor.inputs.joint_map import JointMap
from clwm_sai_executor.path.limits import MotionLimits

Wait = Callable[[Callable[[], bool], str], None]


class ChaosNode(DemoNode):
    """Records before the relay what the robot says and behind it what the controllers are told."""

    def __init__(self, robot: RobotDescription, sim_time: bool = False) -> None:
        """sim_time: live by /clock, as the stack does."""
        super().__init__(Recording(()), "clwm_chaos", sim_time)
        self._joint_map = JointMap(robot)
        limits = MotionLimits.of(robot)
        self._limits = [limits.columns(robot.columns(arm)) for arm in (0, 1)]
        self.statuses: list[tuple[float, dict[str, Any]]] = []
        self.applied: dict[int, float] = {}
        self.healths: list[tuple[float, str, Health]] = []
        self.clear()
        self._uses_sim_time = sim_time
        self._joints = robot.joint_states_topic
        self.create_subscription(JointState, UPSTREAM + self._joints, self._on_joints, qos.SENSOR_DEEP)
        self.create_subscription(ChunkRequest, UPSTREAM + "/clwm/chunk_request", self._on_request, qos.CRITICAL)
        for index, arm in enumerate(robot.arms):
            if arm.controller.kind == "forward":
                self.create_subscription(Float64MultiArray, arm.controller.topic, self._on_positions, qos.CRITICAL)
                continue
            self.create_subscription(
                JointTrajectory,
                arm.controller.topic,
                lambda message, index=index: self._on_trajectory(message, index),
                qos.CRITICAL,
            )
        self.create_subscription(String, APPLIED_TOPIC, self._on_applied, qos.CRITICAL)
        self._tampering = self.create_publisher(String, TAMPERING_TOPIC, qos.CRITICAL)
        self._set_mode = self.create_client(SetMode, "/clwm/set_mode")

    def clear(self) -> None:
        """Forget the motion before this episode."""
        self._states: list[tuple[float, np.ndarray, np.ndarray]] = []
        self.requests: list[Requested] = []
        self.sent: list[Sent] = []
        self.broken_commands: list[str] = []
        self.statuses[:-1] = []
        self.healths.clear()

    def has_said(self, name: str, text: str, since: float) -> bool:
        """Whether the health of a node was not OK after `since` [s], for this reason."""
        return any(
            at > since and node == name and health.level > Level.OK and text in health.message
            for at, node, health in list(self.healths)
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        self.healths += [(self.now(), status.name, from_status(status)) for status in message.status]

    def motion(self) -> MotionRecord:
        """What the arms did since `clear`."""
        states = list(self._states)
        if not states:
            return MotionRecord(np.zeros(0), np.zeros((0, 14)), np.zeros((0, 14)))
        times, positions, velocities = zip(*states, strict=True)
        return MotionRecord(np.array(times), np.array(positions), np.array(velocities))

    def speed(self) -> float:
        """The fastest joint's speed now [rad/s]."""
        return float(np.abs(self._states[-1][2]).max()) if self._states else 0.0

    def has_task_since(self, instant: float) -> bool:
        """Whether an executor said after `instant` [s] that it has a task. What a dead one said last does not count."""
        return any(at > instant and status["instruction"] for at, status in self.statuses)

    def tamper(self, tampering: Tampering) -> None:
        """Have the relay do this; `applied` has the instant of its first effect by its identity."""
        self._tampering.publish(String(data=tampering.to_json()))

    def set_mode(self, mode: Mode, wait: Wait) -> str:
        """Ask for a mode as an operator does. Returns the refusal, or an empty text."""
        response = self._call(self._set_mode, SetMode.Request(mode=int(mode)), wait)
        return "" if response.accepted else response.message

    def _on_joints(self, message: JointState) -> None:
        stamp = from_stamp(message.header.stamp)
        arms = self._joint_map.measured(self._joints, stamp, message.name, message.position, message.velocity)
        if arms is not None:
            self._states.append((arms.stamp, arms.positions, arms.velocities))

    def _on_request(self, message: ChunkRequest) -> None:
        if message.kind == ChunkRequest.GENERATE:
            self.requests.append(Requested(self.now(), from_stamp(message.needed_by), message.at_rest))

    def _on_trajectory(self, message: JointTrajectory, arm: int) -> None:
        times = np.array([from_stamp(point.time_from_start) for point in message.points])
        positions = np.array([point.positions for point in message.points])
        velocities = np.array([point.velocities for point in message.points])
        instants = from_stamp(message.header.stamp) + times
        self.sent.append(Sent(self.now(), float(instants[-1]), arm, instants, positions, velocities))
        for rule, detail in check_motion(times, positions, velocities, self._limits[arm]):
            self.broken_commands.append(f"a command breaks the rule '{rule}': {detail}")

    def _on_positions(self, message: Float64MultiArray) -> None:
        """A streamed position is reached at once: nothing is sent ahead, and no way there can be checked."""
        self.sent.append(Sent(self.now(), self.now()))

    def _on_status(self, message: TaskStatus) -> None:
        super()._on_status(message)
        self.statuses.append((self.now(), self.status))

    def _on_applied(self, message: String) -> None:
        fields = json.loads(message.data)
        # The relay itself lives by the machine's clock, of which a stack with simulated time knows nothing.
        self.applied[fields["identity"]] = self.now() if self._uses_sim_time else fields["at"]


class SpinningNode:
    """A ROS session whose node is served by a thread of its own, so that it records while the caller is busy."""

    def __init__(self, create: Callable[[], DemoNode], sim_time: bool = False) -> None:
        """sim_time: whether the node lives by the simulation's own /clock, before a relay."""
        self._session = RosSession(remappings={"/clock": f"{UPSTREAM}/clock"} if sim_time else None)
        self.node = self._session.add(create())
        self._is_over = False
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_over = True
        self._thread.join(timeout=2.0)
        self._session.close()

    def _spin(self) -> None:
        while not self._is_over:
            try:
                self._session.spin_once(timeout_sec=0.05)
            except ExternalShutdownException:
                return
