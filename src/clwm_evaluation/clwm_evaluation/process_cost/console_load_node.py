"""A stack to look at: three cameras, arms, an executor's and a policy's words, at their rates, without either."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from clwm_common.messages import ChunkTimeline, DualArmState, Mode, ModeStatus, SaiReport, TaskStatus
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_msg
from clwm_common.ros.diagnostics import Health, to_array
from clwm_evaluation.process_cost.load_node import Pictures
from clwm_msgs import msg

WIDTH, HEIGHT = 640, 480  # px
PICTURE_PERIOD, STATE_PERIOD, CHUNK_PERIOD = 0.05, 0.02, 0.6  # s
NODES = ("sim", "perception", "executor", "policy")


class ConsoleLoadNode(Node):
    """Pictures are noise over a gradient, which JPEG has as much to do with as with a camera's."""

    def __init__(self, robot: RobotDescription, **given) -> None:
        super().__init__("console_load", **given)
        ramp = np.linspace(0, 200, WIDTH)[None, :, None] + np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 3))
        picture = Image(
            height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=ramp.astype(np.uint8).tobytes()
        )
        topics = [robot.camera_source(name).topic for name in robot.cameras]
        self._state = self.create_publisher(msg.DualArmState, "/clwm/state", qos.STATE)
        self._joints = self.create_publisher(JointState, robot.joint_states_topic, qos.SENSOR)
        self._chunks = self.create_publisher(msg.ChunkTimeline, "/clwm/chunk_timeline", qos.REPORT)
        self._health = self.create_publisher(DiagnosticArray, "/diagnostics", qos.REPORT)
        mode = self.create_publisher(msg.ModeStatus, "/clwm/mode", qos.LATCHED)
        status = self.create_publisher(msg.TaskStatus, "/clwm/task_status", qos.LATCHED)
        mode.publish(to_msg(ModeStatus(self._now(), Mode.POLICY, "policy", "", 1)))
        status.publish(
            to_msg(TaskStatus(self._now(), Mode.POLICY, "MOVING", 1, self._now(), "lift the tray", is_active=True))
        )
        self._home = np.zeros(30, np.float32)
        self._home[14:28] = robot.home
        fingers = [arm.gripper.finger_joint for arm in robot.arms]
        self._joint_state = JointState(name=[*robot.joint_names, *fingers], position=[*robot.home.tolist(), 0.04, 0.04])
        self._count = 0
        self.create_timer(PICTURE_PERIOD, Pictures(self, picture, topics).send)
        self.create_timer(STATE_PERIOD, self._send_state)
        self.create_timer(CHUNK_PERIOD, self._send_chunk)
        self.create_timer(1.0, self._send_health)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _send_state(self) -> None:
        self._state.publish(to_msg(DualArmState(self._now(), self._home, np.ones(30, np.bool_), mode=Mode.POLICY)))
        self._joints.publish(self._joint_state)

    def _send_chunk(self) -> None:
        self._count += 1
        now = self._now()
        report = SaiReport(self._count, 1, "adaptive", now, now, now, now, now, now, memory_updates=self._count)
        chunk = ChunkTimeline(self._count, 1, now, now, now, False, 4, "executed", sent_at=now, report=report)
        self._chunks.publish(to_msg(chunk))

    def _send_health(self) -> None:
        for name in NODES:
            self._health.publish(to_array(self.get_clock().now().to_msg(), name, Health(message="working")))


@contextlib.contextmanager
def playing(robot: RobotDescription, domain: int) -> Iterator[None]:
    """The node on a thread of its own, in a ROS domain of its own."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = ConsoleLoadNode(robot, context=context)
    spinner = SingleThreadedExecutor(context=context)
    spinner.add_node(node)
    is_over = threading.Event()

    def spin() -> None:
        while not is_over.is_set():
            spinner.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        spinner.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
