"""The joint state topics: read no oftener than needed, the newest message only, however fast a driver publishes."""

from __future__ import annotations

import functools
from collections.abc import Callable

from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState

from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_common.ros.executor import shortest_period
from clwm_common.ros.intake import intake
from clwm_common.ros.lifecycle import ClwmNode
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.inputs.joint_intake import JointIntake

JOINTS_BYTES = 16384  # more than a hundred named joints take


class JointInputs:
    """Subscribes for a JointIntake. What was overtaken by a newer message is dropped as bytes, not unpacked."""

    def __init__(
        self, node: ClwmNode, joints: JointIntake, period: float, on_arms: Callable[[MeasuredArms], None]
    ) -> None:
        """period: s between two looks at a topic; 0 looks at every message."""
        self._node, self._joints, self._on_arms = node, joints, on_arms
        self._unpack: dict[str, Callable[[bytes], None]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        for topic in joints.topics:
            refuse = functools.partial(node.refuse_message, topic, functools.partial(self._refuse, topic))
            self._unpack[topic] = intake(JointState, JOINTS_BYTES, functools.partial(self._take, topic), refuse)
            on_bytes = functools.partial(self._on_bytes, topic)
            subscription = node.create_subscription(JointState, topic, on_bytes, qos.SENSOR_BUFFERED, raw=True)
            self._subscriptions[topic] = shortest_period(subscription, period)

    def _on_bytes(self, topic: str, data: bytes) -> None:
        if not self._node.is_active:
            return
        subscription, waiting = self._subscriptions[topic], [data]
        with subscription.handle:
            while (taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)) is not None:
                waiting.append(taken[0])
        # Where an arm and its hand share a topic, the newest message is one's, and the other's would be lost.
        for each in waiting if self._joints.is_shared(topic) else waiting[-1:]:
            self._unpack[topic](each)

    def _take(self, topic: str, message: JointState) -> None:
        stamp = from_stamp(message.header.stamp)
        arms = self._joints.take(self._node.now(), topic, stamp, message.name, message.position, message.velocity)
        if arms is not None:
            self._on_arms(arms)

    def _refuse(self, topic: str, reason: str) -> None:
        self._joints.refuse(self._node.now(), topic, reason)
