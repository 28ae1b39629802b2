"""A stack that needs no simulation: the real executor, arms that go where they are sent, cameras with moving pictures.

A process of its own, ended by SIGTERM: python stand_in_stack.py
"""

import signal
import sys

import numpy as np
import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from clwm_common.messages import ActionChunk, ChunkTimeline, SaiReport
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp, to_msg
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_msgs import msg
from clwm_msgs.srv import CheckTask, PolicyMemory
from clwm_sai_executor.node import ExecutorNode

ROBOT = RobotDescription.load("dual_fr3_mujoco")
SIDE = 64  # px


class Bench:
    """Arms, cameras, and a policy that takes every task but `fly`, and never answers."""

    def __init__(self, node):
        self.node = node
        self.paths = {}
        self.rest = {"left": ROBOT.home[:7], "right": ROBOT.home[7:]}
        self.joints = node.create_publisher(JointState, ROBOT.joint_states_topic, qos.SENSOR)
        self.cameras = [
            node.create_publisher(Image, f"/cameras/{name}/image_raw", qos.SENSOR) for name in ROBOT.cameras
        ]
        self.chunks = node.create_publisher(msg.ChunkTimeline, "/clwm/chunk_timeline", qos.REPORT)
        self.rows = node.create_publisher(msg.ActionChunk, "/clwm/action_chunk", qos.CRITICAL)
        self.info = node.create_publisher(CameraInfo, "/cameras/head/camera_info", qos.SENSOR)
        self.count = 0
        for side, arm in zip(("left", "right"), ROBOT.arms, strict=True):
            node.create_subscription(
                JointTrajectory, arm.controller.topic, lambda it, side=side: self.paths.update({side: it}), qos.CRITICAL
            )
        node.create_service(CheckTask, "/clwm/check_task", self.check)
        node.create_service(PolicyMemory, "/clwm/policy_memory", self.remember)
        self.memories = []
        node.create_timer(0.02, self.tell_joints)
        node.create_timer(0.1, self.tell_pictures)
        node.create_timer(0.6, self.tell_chunk)

    def now(self):
        return self.node.get_clock().now()

    def check(self, request, response):
        response.accepted = request.instruction != "fly"
        response.message = "" if response.accepted else "this policy cannot fly"
        return response

    def remember(self, request, response):
        if request.act == PolicyMemory.Request.SAVE:
            self.memories.insert(0, request.name)
        response.accepted = request.act != PolicyMemory.Request.RESTORE or request.name in self.memories
        response.message = f"memory '{request.name}'" if response.accepted else f"no memory '{request.name}' was saved"
        response.names = self.memories
        return response

    def tell_joints(self):
        now = self.now().nanoseconds * 1e-9
        for side, path in self.paths.items():
            times = from_stamp(path.header.stamp) + np.array([from_stamp(it.time_from_start) for it in path.points])
            places = np.array([it.positions for it in path.points])
            self.rest[side] = np.array([np.interp(now, times, places[:, joint]) for joint in range(7)])
        message = JointState(name=[*ROBOT.joint_names, *(arm.gripper.finger_joint for arm in ROBOT.arms)])
        message.header.stamp = self.now().to_msg()
        message.position = [*self.rest["left"], *self.rest["right"], 0.04, 0.04]
        self.joints.publish(message)

    def tell_pictures(self):
        self.count += 1
        picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
        picture[:, (4 * self.count) % SIDE :][:, :8] = (240, 160, 40)
        for camera in self.cameras:
            message = Image(height=SIDE, width=SIDE, encoding="rgb8", step=3 * SIDE, data=picture.tobytes())
            message.header.stamp = self.now().to_msg()
            camera.publish(message)

    def tell_chunk(self):
        now = self.now().nanoseconds * 1e-9
        report = SaiReport(
            self.count, 1, "adaptive", now - 1.2, now - 1.1, now - 0.6, now - 0.6, now - 0.57, now - 0.5,
            0.02, 0.01, 0.01, 0.04, 0.4 + 0.05 * (self.count % 12), 0.6, 1.0, 0.5, 0.003, 0.004, nfe_total=24,
            nfe_blocking=6, memory_updates=self.count, memory_digest="0123456789abcdef",
        )  # fmt: skip
        chunk = ChunkTimeline(
            self.count, 1, now - 1.2, now - 0.6, now - 0.4, False, 4, "executed", now - 0.5, now - 0.5, now - 0.6,
            now - 0.4, now, now - 0.6, report=report,
        )  # fmt: skip
        self.chunks.publish(to_msg(chunk))
        focal, centre = 1.5 * SIDE, (SIDE - 1) / 2.0
        lens = [focal, 0.0, centre, 0.0, focal, centre, 0.0, 0.0, 1.0]
        self.info.publish(CameraInfo(height=SIDE, width=SIDE, k=lens))
        rows = np.zeros((16, 30), np.float32)
        rows[:, [0, 7]], rows[:, 1], rows[:, 8] = 0.5, np.linspace(0.1, 0.2, 16), -0.1
        # Of no request: the executor drops it, and who looks on draws it.
        self.rows.publish(to_msg(ActionChunk(self.count, 0, now, rows)))


def main():
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # As patient as a machine with much else to do needs.
    settings = {"state_timeout": 5.0, "teleop_timeout": 1.0, "chunk_timeout": 60.0}
    executor_node = ExecutorNode(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()])
    node = rclpy.create_node("stand_in")
    bench = Bench(node)
    spinner = StaticSingleThreadedExecutor()
    spinner.add_node(node)
    spinner.add_node(executor_node)
    executor_node.trigger_configure()
    executor_node.trigger_activate()
    print(f"ready with {len(bench.cameras)} cameras", flush=True)
    while True:
        spinner.spin_once(timeout_sec=0.1)


if __name__ == "__main__":
    main()
