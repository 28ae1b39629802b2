"""Three cameras and a policy for the perception process: pictures at their rate, and a request a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from builtin_interfaces.msg import Time

from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_evaluation.process_cost.camera_kinds import Kind
from clwm_evaluation.process_cost.load_node import LoadNode, Pictures, running
from clwm_msgs.msg import FeatureFrame, ObservationRequest

PERIOD = 0.05  # s between two pictures of a camera
CHUNK = 0.6  # s between two requests: 12 rows


class CamerasLoadNode(LoadNode):
    """Sends the same picture for ever, each time with the stamp of now."""

    def __init__(self, kind: Kind, topics: Sequence[str], **given) -> None:
        super().__init__("cameras_load", **given)
        self._pictures = Pictures(self, kind.message(), topics)
        self._requests = self.create_publisher(ObservationRequest, "/clwm/observation_request", qos.CRITICAL)
        self.create_subscription(FeatureFrame, "/clwm/feature_frame", self._on_frame, qos.CRITICAL)
        self.create_timer(PERIOD, self._pictures.send)
        self.create_timer(CHUNK, self._ask)
        self._asked = 0
        self.ages: list[float] = []  # s from the capture of its pictures to a frame

    @property
    def pictures(self) -> int:
        """How many have been sent, of all cameras."""
        return self._pictures.sent

    def _ask(self) -> None:
        self._asked += 1
        seconds, nanoseconds = divmod(self.get_clock().now().nanoseconds + 20_000_000, 1_000_000_000)
        self._requests.publish(
            ObservationRequest(chunk_id=self._asked, observe_at=Time(sec=seconds, nanosec=nanoseconds))
        )

    def _on_frame(self, message: FeatureFrame) -> None:
        self.ages.append(1e-9 * self.get_clock().now().nanoseconds - from_stamp(message.stamp))


def running_load_node(kind: Kind, topics: Sequence[str], domain: int) -> AbstractContextManager[CamerasLoadNode]:
    """The node in a ROS domain of its own."""
    return running(lambda context: CamerasLoadNode(kind, topics, context=context), domain)
