"""Listens to a robot for `clwm preflight`. Publishes nothing, so that nothing can move."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from clwm_bringup import preflight_checks as checks
from clwm_bringup.doctor_checks import Outcome, Result
from clwm_bringup.preflight_checks import Stream
from clwm_common.actions import LayoutError
from clwm_common.robot import Gripper, RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_perception.image_sets import SynchroniserConfig
from clwm_perception.preprocess import ImageError, from_raw
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.controller_check_node import ControllerCheck
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.joint_map import JointMap

_EXECUTOR = "executor"  # the one node that may command the arms


class PreflightNode(Node):
    """Spin it for some seconds with `poll` in between, then ask for `results`."""

    def __init__(self, robot: RobotDescription, check_picture: Callable[[int, int], None] | None = None) -> None:
        """check_picture: raises ImageError for a picture's height and width; None when no model is known."""
        super().__init__("clwm_preflight")
        self._check_picture = check_picture
        self._robot, self._joint_map = robot, JointMap(robot)
        self._joints = {source.topic: Stream() for source in robot.joint_sources()}
        self._cameras = {camera: Stream() for camera in robot.cameras}
        self._arms: MeasuredArms | None = None
        self._controllers = ControllerCheck(self, robot)
        self._controllers.ask(time.monotonic())
        for topic in self._joints:
            on_joints = functools.partial(self._on_joints, topic)
            self.create_subscription(JointState, topic, on_joints, qos.SENSOR_DEEP)
        for camera in self._cameras:
            on_image = functools.partial(self._on_image, camera)
            self.create_subscription(Image, _image_topic(camera), on_image, qos.SENSOR_BUFFERED)

    def poll(self) -> None:
        """Go on asking the controllers for their parameters."""
        self._controllers.poll(time.monotonic())

    def results(self) -> list[tuple[str, Result]]:
        """(title, judgement), from the arms to the pictures."""
        robot, executor, perception = self._robot, SchedulerConfig(), SynchroniserConfig(tuple(self._cameras))
        found = [
            (
                f"joints {source.topic}",
                checks.judge_joints(source.topic, self._joints[source.topic], executor, has_arm=source.has_arm),
            )
            for source in robot.joint_sources()
        ]
        if self._arms is None:
            found.append(("arms", Result(Outcome.FAIL, "not all joints are known", "see above")))
        else:
            found.append(("arms", checks.judge_arms(robot, self._arms.positions, self._arms.velocities)))
        for side, arm, inquiry in zip(("left", "right"), robot.arms, self._controllers.inquiries, strict=True):
            topic, listeners = arm.controller.topic, self.count_subscribers(arm.controller.topic)
            judged = checks.judge_controller(topic, listeners, inquiry.findings, inquiry.summary)
            found.append((f"{side} controller", judged))
            senders = [info.node_name for info in self.get_publishers_info_by_topic(topic)]
            others = [name for name in senders if name != _EXECUTOR]
            found.append((f"{side} commands", checks.judge_commanders(topic, others)))
            found.append((f"{side} gripper", self._gripper(arm.gripper)))
        for camera, stream in self._cameras.items():
            found.append((f"camera {camera}", checks.judge_camera(_image_topic(camera), stream, perception)))
        found.append(("sets of pictures", checks.judge_sets(self._cameras, perception)))
        return found

    def _gripper(self, gripper: Gripper) -> Result:
        command = gripper.command
        if command.kind == "topic":
            return checks.judge_gripper(command.name, self.count_subscribers(command.name) > 0)
        missing = "" if importlib.util.find_spec("control_msgs") else "control_msgs"
        return checks.judge_gripper(command.name, self.count_services(f"{command.name}/_action/send_goal") > 0, missing)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _on_joints(self, topic: str, message: JointState) -> None:
        stamp, problem = from_stamp(message.header.stamp), ""
        try:
            arms = self._joint_map.measured(topic, stamp, message.name, message.position, message.velocity)
            self._arms = arms or self._arms
        except LayoutError as error:
            problem = str(error)
        self._joints[topic].hear(self._now(), stamp, problem)

    def _on_image(self, camera: str, message: Image) -> None:
        problem = ""
        try:
            if self._check_picture is not None:
                self._check_picture(message.height, message.width)
            from_raw(message.encoding, message.height, message.width, message.step, message.data)
        except ImageError as error:
            problem = str(error)
        self._cameras[camera].hear(self._now(), from_stamp(message.header.stamp), problem)


def _image_topic(camera: str) -> str:
    return f"/cameras/{camera}/image_raw"
