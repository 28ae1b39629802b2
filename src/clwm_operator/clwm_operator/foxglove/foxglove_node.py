"""The node `clwm_foxglove`: hears of the stack what somebody looks at, and nothing else. It publishes nothing."""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, JointState

from clwm_common.messages import ChunkTimeline
from clwm_common.recordings.names import recorded_pictures
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg
from clwm_common.ros.executor import shortest_period
from clwm_common.ros.message_log import type_name
from clwm_msgs import msg
from clwm_operator.foxglove.topics import DESCRIPTION, FRAMES, TIMELINE
from clwm_operator.recorder.cdr import LAYOUTS, trimmed
from clwm_operator.recorder.pictures import compressed
from clwm_operator.recorder.recorder_node import Given, given_topics
from clwm_perception.preprocess import ImageError

QUALITY = 80  # of JPEG
PICTURE_PERIOD = 0.1  # s between two pictures of a camera
STATE_PERIOD = 0.05  # s between two looks at joints and the measured state
_FAST = JointState, msg.DualArmState
_NOT_SERVED = Image, msg.FeatureFrame  # pictures are served as JPEG; features are for the policy


def served_topics(robot: RobotDescription) -> Given:
    """Messages that are served as they come, by topic."""
    given = {name: it for name, it in given_topics(robot).items() if it[0] not in _NOT_SERVED}
    return {name: it for name, it in given.items() if name != DESCRIPTION}


class FoxgloveNode(Node):
    """All is called on ROS's thread, and so are send, on_chunk and on_joints.

    send(topic, data): a serialised message; on_chunk(timeline); on_joints(positions), rad and m by joint name, of all
    joints heard of so far; on_note(text): why pictures of a camera are not served, once each.
    """

    def __init__(
        self,
        robot: RobotDescription,
        send: Callable[[str, bytes], None],
        on_chunk: Callable[[ChunkTimeline], None],
        on_joints: Callable[[Mapping[str, float]], None],
        on_note: Callable[[str], None],
        is_simulated_time: bool = False,
    ) -> None:
        """is_simulated_time: live by /clock, as the stack does."""
        super().__init__("clwm_foxglove", parameter_overrides=[Parameter("use_sim_time", value=is_simulated_time)])
        self._send, self._on_chunk, self._on_joints, self._on_note = send, on_chunk, on_joints, on_note
        self._given = served_topics(robot)
        self._joint_topics = [source.topic for source in robot.joint_sources()]
        sources = map(robot.camera_source, robot.cameras)
        self._raw_of = {recorded_pictures(it): it.topic for it in sources if it.transport == "raw"}
        self._watchers: Counter[str] = Counter()
        self._subscriptions_of: dict[str, list[Any]] = {}
        self._latched: dict[str, bytes] = {}
        self._positions: dict[str, float] = {}
        self._noted: set[str] = set()
        self._shown_at: dict[str, float] = {}

    @property
    def now(self) -> int:
        """ns on the stack's clock."""
        return self.get_clock().now().nanoseconds

    def watch(self, topic: str) -> None:
        """One more looks at it: who comes late is told the last latched message, too."""
        self._watchers[topic] += 1
        if self._watchers[topic] == 1:
            self._subscriptions_of[topic] = self._subscribe(topic)
        elif topic in self._latched:
            self._send(topic, self._latched[topic])

    def leave(self, topic: str) -> None:
        """One looks at it no longer."""
        self._watchers[topic] -= 1
        if self._watchers[topic] == 0:
            for subscription in self._subscriptions_of.pop(topic):
                self.destroy_subscription(subscription)
            self._latched.pop(topic, None)

    def _subscribe(self, topic: str) -> list[Any]:
        if topic == FRAMES:
            return [
                self._hear(JointState, it, self._take_joints, qos.SENSOR, STATE_PERIOD) for it in self._joint_topics
            ]
        if topic == TIMELINE:
            return [self._hear(msg.ChunkTimeline, "/clwm/chunk_timeline", self._take_chunk, qos.REPORT)]
        if topic in self._raw_of:
            take = functools.partial(self._take_picture, topic)
            return [self._hear(Image, self._raw_of[topic], take, qos.SENSOR, PICTURE_PERIOD, raw=True)]
        if topic not in self._given:
            return []
        kind, profile = self._given[topic]
        is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        take = functools.partial(self._take, topic, LAYOUTS.get(type_name(kind)), is_latched)
        if kind in _FAST:
            return [self._hear(kind, topic, take, qos.SENSOR, STATE_PERIOD, raw=True)]
        return [self._hear(kind, topic, take, profile, raw=True)]

    def _hear(
        self,
        kind: type,
        topic: str,
        take: Callable[[Any], None],
        profile: QoSProfile,
        period: float = 0.0,
        raw: bool = False,
    ) -> Any:
        # By a function of one argument, as rclpy looks at the signature to see who wants more than the message.
        subscription = self.create_subscription(kind, topic, lambda message: take(message), profile, raw=raw)
        return shortest_period(subscription, period) if period else subscription

    def _take(self, topic: str, layout: Any, is_latched: bool, data: bytes) -> None:
        whole = trimmed(layout, data) if layout else bytes(data)
        if is_latched:
            self._latched[topic] = whole
        self._send(topic, whole)

    def _take_picture(self, topic: str, data: bytes) -> None:
        # The executor has one pace for all that is paced: that of the joints.
        now = time.monotonic()
        if now - self._shown_at.get(topic, -math.inf) < 0.9 * PICTURE_PERIOD:
            return
        self._shown_at[topic] = now
        try:
            self._send(topic, compressed(data, QUALITY, is_to_be_seen=True))
        except ImageError as error:
            if topic not in self._noted:
                self._noted.add(topic)
                self._on_note(f"{topic} shows nothing: {error}")

    def _take_chunk(self, message: msg.ChunkTimeline) -> None:
        self._on_chunk(from_msg(message))

    def _take_joints(self, message: JointState) -> None:
        self._positions.update(zip(message.name, message.position, strict=False))
        self._on_joints(self._positions)
