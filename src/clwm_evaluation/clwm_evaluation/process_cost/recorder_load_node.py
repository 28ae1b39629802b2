"""What the recorder has to keep of a running stack: pictures of three cameras, joints and measured states."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from clwm_common.ros import qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_evaluation.process_cost.camera_kinds import Kind
from clwm_evaluation.process_cost.cameras_load_node import PERIOD
from clwm_evaluation.process_cost.load_node import LoadNode, Pictures, running
from clwm_msgs.msg import DualArmState

JOINT_PERIOD = 0.004  # s


class RecorderLoadNode(LoadNode):
    """Sends the same messages for ever; pictures with the stamp of now."""

    def __init__(self, kind: Kind, topics: Sequence[str], joints: int, **given) -> None:
        super().__init__("recorder_load", **given)
        self._joints = self.create_publisher(JointState, "/joint_states", qos.SENSOR)
        self._states = self.create_publisher(DualArmState, "/clwm/state", qos.STATE)
        names = [f"joint_{number}" for number in range(joints)]
        self._joint_state = serialize_message(JointState(name=names, position=[0.1] * joints, velocity=[0.0] * joints))
        self._state = serialize_message(DualArmState())
        self.create_timer(PERIOD, Pictures(self, kind.message(), topics).send)
        self.create_timer(JOINT_PERIOD, self._send_joints)

    def _send_joints(self) -> None:
        self._joints.publish(self._joint_state)
        self._states.publish(self._state)


def running_recorder_load(
    kind: Kind, topics: Sequence[str], joints: int, domain: int
) -> AbstractContextManager[RecorderLoadNode]:
    """The node in a ROS domain of its own."""
    return running(
        lambda context: RecorderLoadNode(kind, topics, joints, context=context), domain, StaticSingleThreadedExecutor
    )
