"""The node `clwm_recorder`: every topic of an episode as bytes, in the order in which they come."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from action_msgs.msg import GoalStatusArray
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float64, Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from clwm_common.messages import Mode
from clwm_common.recordings import names
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import cut_text
from clwm_common.ros.message_log import definition, type_name
from clwm_common.verdicts import OWN_ESTIMATE
from clwm_msgs import msg
from clwm_msgs.srv import LabelCorrection
from clwm_operator.recorder.bag_facts import offered_qos
from clwm_operator.recorder.cdr import LAYOUTS, trimmed
from clwm_operator.recorder.episode_recorder import EpisodeRecorder
from clwm_operator.recorder.messages import Message, Topic
from clwm_operator.recorder.pictures import compressed
from clwm_operator.recorder.span import TaskHeard, VerdictHeard, WorldHeard
from clwm_perception.preprocess import ImageError

TICK = 0.1  # s
LOOK_PERIOD = 1_000_000_000  # ns between two looks at who publishes
_FINAL = (msg.Verdict.SUCCEEDED, msg.Verdict.FAILED)
_STACK = {
    names.STATE: (msg.DualArmState, qos.SENSOR_DEEP),
    names.REQUEST: (msg.ChunkRequest, qos.REPORT),
    "/clwm/action_chunk": (msg.ActionChunk, qos.REPORT),
    "/clwm/chunk_refusal": (msg.ChunkRefusal, qos.REPORT),
    "/clwm/sai_report": (msg.SaiReport, qos.REPORT),
    "/clwm/chunk_timeline": (msg.ChunkTimeline, qos.REPORT),
    "/clwm/feature_frame": (msg.FeatureFrame, qos.REPORT),
    "/clwm/teleop": (msg.TeleopCommand, qos.REPORT),
    names.EPISODE: (msg.EpisodeStatus, qos.REPORT),
    names.MODE: (msg.ModeStatus, qos.LATCHED),
    names.TASK: (msg.TaskStatus, qos.LATCHED),
    names.VERDICT: (msg.Verdict, qos.VERDICT),
    "/clwm/claims": (msg.Claim, qos.LATCHED_BY_ALL),
    "/robot_description": (String, qos.LATCHED),
    "/diagnostics": (DiagnosticArray, qos.REPORT),
    "/rosout": (Log, qos.REPORT),
}
# Twenty pictures a second and camera: a second of a busy machine.
_PICTURES = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=20)

Given = dict[str, tuple[type, QoSProfile]]


def given_topics(robot: RobotDescription, others: Sequence[tuple[str, str]] = ()) -> Given:
    """All that is recorded, by topic. others: (topic, type) besides those of the stack. Raises ImportError."""
    found: Given = dict(_STACK)
    for source in map(robot.camera_source, robot.cameras):
        if source.transport == "raw":
            found[source.topic] = Image, _PICTURES
        found[names.recorded_pictures(source)] = CompressedImage, _PICTURES
        found[source.info_topic] = CameraInfo, _PICTURES
    for source in robot.joint_sources():
        found[source.topic] = JointState, qos.SENSOR_DEEP
    for arm in robot.arms:
        kind = Float64MultiArray if arm.controller.kind == "forward" else JointTrajectory
        found[arm.controller.topic] = kind, qos.SENSOR_DEEP
        gripper = arm.gripper.command
        if gripper.kind == "topic":
            found[gripper.name] = Float64, qos.SENSOR_DEEP
        else:
            found[f"{gripper.name}/_action/status"] = GoalStatusArray, qos.LATCHED
    for topic, kind in others:
        package, _, name = kind.partition("/msg/")
        found[topic] = getattr(importlib.import_module(f"{package}.msg"), name), qos.SENSOR_DEEP
        if found[topic][0] is Image:
            found |= {topic: (Image, _PICTURES), f"{topic}/compressed": (CompressedImage, _PICTURES)}
    return found


def recorded_topics(given: Given) -> dict[str, Topic]:
    """The same as the recorder's core wants them."""
    return {name: _topic(name, kind, profile) for name, (kind, profile) in given.items()}


def _topic(name: str, kind: type, profile: QoSProfile) -> Topic:
    is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    is_reliable = profile.reliability == ReliabilityPolicy.RELIABLE
    offered = offered_qos(is_reliable=is_reliable, is_latched=is_latched, depth=profile.depth)
    is_heavy = kind in (Image, CompressedImage, msg.FeatureFrame)
    return Topic(name, type_name(kind), definition(type_name(kind)), offered, is_latched, is_heavy)


class GraphLook(Node):
    """Sees what others publish, once they have been discovered."""

    def __init__(self) -> None:
        super().__init__("clwm_recorder_look")

    def types(self) -> dict[str, str]:
        """The type of every topic."""
        return {name: kinds[0] for name, kinds in self.get_topic_names_and_types()}


class RecorderNode(Node):
    """Subscribes to everything, and hands it to `recorder`.

    quality: of the JPEGs. on_note: told once for each camera whose raw pictures are recorded as they are, and why.
    """

    def __init__(
        self,
        recorder: EpisodeRecorder,
        given: Given,
        quality: int,
        on_note: Callable[[str], None],
    ) -> None:
        super().__init__("clwm_recorder")
        self._recorder, self._quality, self._on_note = recorder, quality, on_note
        self._noted: set[str] = set()
        self._topics = tuple(given)
        self._sole: set[str] = set()  # topics of one sender, whose numbers tell what was lost
        self._looked_at = 0
        self._small: list[Subscription] = []
        self._compressing: set[str] = set()  # topics of drivers that compress themselves
        self._compressed = tuple(topic for topic, (kind, _) in given.items() if kind is CompressedImage)
        heard = {
            names.TASK: self._on_task,
            names.VERDICT: self._on_verdict,
            names.MODE: self._on_mode,
            names.EPISODE: self._on_episode,
        }
        for topic, (kind, profile) in given.items():
            if kind is Image:
                on_message = functools.partial(self._on_picture, topic)
            else:
                on_message = functools.partial(self._on_message, topic, kind, heard.get(topic))
            # By a function of two arguments, as rclpy looks at the signature to see who wants the information.
            subscription = self.create_subscription(kind, topic, _with_information(on_message), profile, raw=True)
            if kind is not Image:
                self._small.append(subscription)
        self.create_service(LabelCorrection, "/clwm/label_correction", self._on_label)
        self.create_timer(TICK, self._on_tick)

    def stop(self) -> None:
        """End the recording that runs."""
        self._recorder.stop(time.time_ns())

    def _on_message(
        self, topic: str, kind: type, heard: Callable[[int, Any], None] | None, data: bytes, information: dict[str, int]
    ) -> None:
        if topic in self._compressed:
            self._compressing.add(topic)
        whole = trimmed(layout, data) if (layout := LAYOUTS.get(type_name(kind))) else data
        self._recorder.take(self._message(topic, topic, whole, information))
        if heard is not None:
            heard(information["received_timestamp"], deserialize_message(data, kind))

    def _on_picture(self, raw: str, data: bytes, information: dict[str, int]) -> None:
        topic = f"{raw}/compressed"
        if self._recorder.current is None or topic in self._compressing:
            return
        try:
            data = compressed(data, self._quality)
        except ImageError as error:
            topic = raw
            if topic not in self._noted:
                self._noted.add(topic)
                self._on_note(f"pictures on {topic} are recorded without compression: {error}")
        self._recorder.take(self._message(raw, topic, data, information))

    def _take_what_waits(self) -> None:
        """An executor takes one message of a topic between two pictures: on a busy machine too few of the fast ones."""
        for subscription in self._small:
            with subscription.handle:
                while taken := subscription.handle.take_message(subscription.msg_type, subscription.raw):
                    subscription.callback(*taken)

    def _message(self, heard: str, topic: str, data: bytes, information: dict[str, int]) -> Message:
        """heard: the topic that it came on; topic: where it is recorded."""
        number = information["publication_sequence_number"] if heard in self._sole else None
        return Message(topic, information["received_timestamp"], information["source_timestamp"], number, data)

    def _on_task(self, now: int, message: msg.TaskStatus) -> None:
        self._recorder.hear(now, TaskHeard(message.task_epoch, message.instruction, message.goal))

    def _on_verdict(self, now: int, message: msg.Verdict) -> None:
        # What the policy believes of itself is recorded, but is no label.
        if message.outcome in _FINAL and message.judge != OWN_ESTIMATE:
            succeeded = message.outcome == msg.Verdict.SUCCEEDED
            self._recorder.hear(now, VerdictHeard(message.task_epoch, succeeded, message.judge))

    def _on_mode(self, now: int, message: msg.ModeStatus) -> None:
        self._recorder.hear_mode(now, Mode(message.mode))

    def _on_label(
        self, request: LabelCorrection.Request, response: LabelCorrection.Response
    ) -> LabelCorrection.Response:
        self._take_what_waits()  # the mode may have changed just now
        try:
            response.message = self._recorder.label_correction(CorrectionLabel(request.label))
            response.accepted = True
        except ValueError as error:
            response.message = cut_text(str(error), response, "message")
        except OSError as error:
            response.message = (
                f"the label cannot be written ({error.strerror}); make room on the disk, and say it again"
            )
        return response

    def _on_episode(self, now: int, message: msg.EpisodeStatus) -> None:
        self._recorder.hear(now, WorldHeard(message.episode))

    def _on_tick(self) -> None:
        self._take_what_waits()
        now = time.time_ns()
        if now - self._looked_at >= LOOK_PERIOD:
            self._looked_at = now
            self._compressing = {topic for topic in self._compressed if self.count_publishers(topic)}
            self._sole = {topic for topic in self._topics if self.count_publishers(topic) == 1}
        self._recorder.tick(now)


def _with_information(on_message: Callable[[bytes, dict[str, int]], None]) -> Callable[[bytes, dict[str, int]], None]:
    return lambda data, information: on_message(data, information)
