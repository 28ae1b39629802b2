"""Listens to a robot for `clwm preflight`. Publishes nothing, so that nothing can move."""

from __future__ import annotations

import functools
import importlib.util
import time
from typing import TypeVar

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from clwm_bringup import graph
from clwm_bringup.checks import preflight as checks
from clwm_bringup.checks.clock_check import ClockCheck
from clwm_bringup.checks.doctor import Outcome, Result
from clwm_bringup.checks.preflight import Stream
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.gripper import Gripper
from clwm_common.ros import qos
from clwm_common.ros.claiming import ClaimListener
from clwm_common.ros.conversions import from_stamp
from clwm_common.ros.intake import intake
from clwm_perception.camera_reader import CameraPicture, CameraReader
from clwm_perception.image_sets import SynchroniserConfig
from clwm_perception.picture_watch import HEADER_BYTES, IMAGE_BYTES, PictureWatch
from clwm_perception.preprocess import ImageError
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.checks.start import StartCheck
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.inputs.joint_intake import JointIntake
from clwm_sai_executor.outputs.controller_check_node import ControllerCheck

_EXECUTOR = "executor"  # the one role whose holder may command the arms


class PreflightNode(Node):
    """Spin it for some seconds with `poll` in between, then ask for `results`."""

    def __init__(
        self, robot: RobotDescription, picture_size: tuple[int, int] | None = None, *, has_policy: bool = True
    ) -> None:
        """picture_size: (height, width) that the encoder takes; None when no model is known.

        has_policy: whether somebody needs the pictures.
        """
        super().__init__("clwm_preflight")
        self._robot, self._has_policy = robot, has_policy
        self._executor = _configured(SchedulerConfig(), "executor")
        self._perception = _configured(SynchroniserConfig(tuple(robot.cameras)), "perception")
        self._image_bytes = graph.fixed_parameters("perception").get("image_bytes", IMAGE_BYTES)
        self._intake = JointIntake(robot, self._executor.state_timeout)
        self._watch = PictureWatch(self._perception)
        self._clock_check = ClockCheck(time.monotonic())
        self._start_listening()
        self._joints = {source.topic: Stream() for source in robot.joint_sources()}
        self._cameras = {camera: Stream() for camera in robot.cameras}
        self._readers = {
            camera: CameraReader(camera, robot.camera_source(camera), picture_size, self._image_bytes)
            for camera in robot.cameras
        }
        self.pictures: dict[str, CameraPicture] = {}
        self._controllers = ControllerCheck(self, robot)
        self._controllers.ask(time.monotonic())
        self._claims = ClaimListener(self)
        for topic in self._joints:
            on_joints = functools.partial(self._on_joints, topic)
            self.create_subscription(JointState, topic, on_joints, qos.SENSOR_DEEP)
        for camera, reader in self._readers.items():
            kind = Image if reader.source.transport == "raw" else CompressedImage
            on_image = intake(
                kind,
                self._image_bytes + HEADER_BYTES,
                functools.partial(self._on_image, camera),
                functools.partial(self._on_refused, camera),
            )
            self.create_subscription(kind, reader.source.topic, on_image, qos.SENSOR_BUFFERED, raw=True)
            self.create_subscription(CameraInfo, reader.source.info_topic, reader.calibrate, qos.SENSOR)

    @property
    def has_heard_all(self) -> bool:
        """Whether something came on every topic."""
        return all(stream.arrivals for stream in (*self._joints.values(), *self._cameras.values()))

    def poll(self) -> None:
        """Go on asking the controllers for their parameters, and look at the clock."""
        self._controllers.poll(time.monotonic())
        if self._lives_by_clock and self._clock_check.has_begun(time.monotonic(), self._now()):
            self._start_listening()

    @property
    def _lives_by_clock(self) -> bool:
        return self.get_parameter("use_sim_time").value

    def _start_listening(self) -> None:
        """From now on, joint states and pictures are expected."""
        self._intake.start(self._now())
        self._watch.start(self._now())

    def results(self) -> list[tuple[str, Result]]:
        """(title, judgement), from the arms to the pictures."""
        robot, executor, perception = self._robot, self._executor, self._perception
        for topic, stream in self._joints.items():
            stream.problem, stream.warning = self._intake.problem(self._now(), topic), self._intake.warning(topic)
        for camera, stream in self._cameras.items():
            stream.problem = self._watch.problem(self._now(), camera)
            if camera in self.pictures:
                stream.detail = self._readers[camera].describe(self.pictures[camera])
        found = [("clock", self._clock_check.result(time.monotonic(), self._now()))] if self._lives_by_clock else []
        found += [
            (
                f"joints {source.topic}",
                checks.judge_joints(source.topic, self._joints[source.topic], executor, has_arm=source.has_arm),
            )
            for source in robot.joint_sources()
        ]
        if self._intake.latest is None:
            found.append(("arms", Result(Outcome.FAIL, "not all joints are known", "see above")))
        else:
            found.append(("arms", checks.judge_arms(robot, self._intake.latest, StartCheck(robot, margins_of(robot)))))
        executors = self._claims.holders(_EXECUTOR)
        commanders = self._controllers.commanders({it.participant for it in executors})
        for side, arm, inquiry in zip(("left", "right"), robot.arms, self._controllers.inquiries, strict=True):
            topic, listeners = arm.controller.topic, self._listeners(arm.controller.topic)
            judged = checks.judge_controller(topic, listeners, inquiry.findings, inquiry.summary)
            found.append((f"{side} controller", judged))
            found.append((f"{side} commands", checks.judge_commanders(topic, commanders[topic])))
            found.append((f"{side} gripper", self._gripper(arm.gripper)))
        pictures = [
            (f"camera {camera}", checks.judge_camera(self._readers[camera].source.topic, stream, perception))
            for camera, stream in self._cameras.items()
        ]
        pictures.append(("sets of pictures", checks.judge_sets(self._cameras, perception)))
        return found + (pictures if self._has_policy else [(title, checks.not_needed(it)) for title, it in pictures])

    def _listeners(self, topic: str) -> list[checks.Listener]:
        found = []
        for info in self.get_subscriptions_info_by_topic(topic):
            wanted = info.qos_profile
            # Of deadlines and leases the graph has other values for "none" than a profile has.
            asked = QoSProfile(depth=1, reliability=wanted.reliability, durability=wanted.durability)
            compatibility, reason = qos_check_compatible(qos.SETPOINT, asked)
            problem = reason.strip("; ") if compatibility == QoSCompatibility.ERROR else ""
            is_reliable = wanted.reliability == ReliabilityPolicy.RELIABLE
            found.append(checks.Listener(info.node_name, is_reliable, problem))
        return found

    def _gripper(self, gripper: Gripper) -> Result:
        command = gripper.command
        if command.kind == "topic":
            return checks.judge_gripper(command.name, self.count_subscribers(command.name) > 0)
        package = checks.package_of(command.type)
        missing = "" if importlib.util.find_spec(package) else package
        return checks.judge_gripper(command.name, self.count_services(f"{command.name}/_action/send_goal") > 0, missing)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _on_joints(self, topic: str, message: JointState) -> None:
        now, stamp = self._now(), from_stamp(message.header.stamp)
        self._intake.take(now, topic, stamp, message.name, message.position, message.velocity)
        self._joints[topic].hear(now, stamp)

    def _on_image(self, camera: str, message: Image | CompressedImage) -> None:
        now, stamp = self._now(), from_stamp(message.header.stamp)
        self._cameras[camera].hear(now, stamp)
        try:
            self.pictures[camera] = self._readers[camera].read(message)
        except ImageError as error:
            self._watch.refuse(now, camera, str(error))
            return
        self._watch.hear(now, camera, stamp, self.pictures[camera].size)

    def _on_refused(self, camera: str, reason: str) -> None:
        self._watch.refuse_bytes(self._now(), camera, reason, self._image_bytes)


Config = TypeVar("Config", SchedulerConfig, SynchroniserConfig)


def _configured(config: Config, node: str) -> Config:
    """With what config/stack.yaml gives the node: it will run with that."""
    known = vars(config)
    fixed = {name: value for name, value in graph.fixed_parameters(node).items() if name in known}
    return type(config)(**{**known, **fixed})
