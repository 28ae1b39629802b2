"""Foxglove's server over the stack: channels for what there is, and nothing that a client could do but look."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
import foxglove
from foxglove.channels import FrameTransformsChannel
from foxglove.messages import FrameTransform, FrameTransforms, Quaternion, Timestamp, Vector3
from foxglove.websocket import Capability
from std_msgs.msg import String

from clwm_common.messages import ChunkTimeline
from clwm_common.process_usage import keep_freed_memory
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.ros.message_log import definition, serialised, type_name
from clwm_common.ros.session import RosThread
from clwm_description.link_frames import ArmFrames, LinkFrames
from clwm_description.urdf import MESH_PACKAGE, Choices, robot_urdf
from clwm_operator.foxglove.foxglove_node import FoxgloveNode, served_topics
from clwm_operator.foxglove.topics import DESCRIPTION, FRAMES, TIMELINE, TIMELINE_SCHEMA, sai_timeline
from clwm_sim.scenes.workcell import mesh_directory

_BACKLOG = 256  # messages that a client may be behind before the oldest are dropped
_CLOCK_PERIOD = 0.05  # s between two looks at a simulated clock


class ServeError(RuntimeError):
    """The server does not start; the message says why, and what to do."""


class Model:
    """The robot's URDF with the meshes that it names, for who has no files of ours, and its frames.

    urdf: empty, with a note for people, where there is none of both arms.
    """

    def __init__(self, robot: RobotDescription) -> None:
        self.urdf, self.note = "", ""
        self.frames: LinkFrames | ArmFrames
        try:
            self.urdf = robot_urdf(robot, Choices(hardware="", meshes=MESH_PACKAGE))
            self.frames = LinkFrames(self.urdf)
        except RobotError:
            self.frames = ArmFrames(robot)
            self.note = (
                f"robot '{robot.name}' has other arms than two FR3: their frames are shown, the arms are not drawn"
            )
        self._meshes = set(re.findall(r'filename="([^"]+)"', self.urdf))

    def mesh(self, uri: str) -> bytes | None:
        """The file of a mesh of the model, and of nothing else."""
        if uri not in self._meshes:
            return None
        return (mesh_directory() / uri.removeprefix(f"{MESH_PACKAGE}/")).read_bytes()


class _Served:
    """The channels by topic, on ROS's thread."""

    def __init__(self, robot: RobotDescription, model: Model) -> None:
        self.context = foxglove.Context()
        self._model = model
        self._channels = {name: self._channel(name, kind) for name, (kind, _) in served_topics(robot).items()}
        self._channels[TIMELINE] = foxglove.Channel(TIMELINE, schema=TIMELINE_SCHEMA, context=self.context)
        self._frames = FrameTransformsChannel(FRAMES, context=self.context)
        if model.urdf:
            self._channels[DESCRIPTION] = self._channel(DESCRIPTION, String)
        self.node: FoxgloveNode | None = None

    def send(self, topic: str, data: bytes) -> None:
        self._channels[topic].log(data, log_time=self.node.now)

    def on_chunk(self, timeline: ChunkTimeline) -> None:
        self._channels[TIMELINE].log(sai_timeline(timeline), log_time=self.node.now)

    def on_joints(self, positions: Mapping[str, float]) -> None:
        now = self.node.now
        at = Timestamp(now // 1_000_000_000, now % 1_000_000_000)
        transforms = []
        for frame in self._model.frames.at(positions):
            x, y, z, qx, qy, qz, qw = frame.pose
            transforms.append(
                FrameTransform(
                    timestamp=at,
                    parent_frame_id=frame.parent,
                    child_frame_id=frame.child,
                    translation=Vector3(x=x, y=y, z=z),
                    rotation=Quaternion(x=qx, y=qy, z=qz, w=qw),
                )
            )
        self._frames.log(FrameTransforms(transforms=transforms), log_time=now)

    def on_watch(self, topic: str) -> None:
        self.node.watch(topic)
        if topic == DESCRIPTION:
            self.send(topic, serialised(String(data=self._model.urdf)))

    def _channel(self, topic: str, kind: type) -> foxglove.Channel:
        name = type_name(kind)
        schema = foxglove.Schema(name=name, encoding="ros2msg", data=definition(name).encode())
        return foxglove.Channel(topic, schema=schema, message_encoding="cdr", context=self.context)


class _Lookers:
    """Foxglove's threads tell here who looks at what."""

    def __init__(self, ros: RosThread, served: _Served) -> None:
        self._ros, self._served = ros, served

    def on_subscribe(self, client: Any, channel: Any) -> None:
        self._ros.run(lambda: self._served.on_watch(channel.topic))

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        self._ros.run(lambda: self._served.node.leave(channel.topic))


@contextlib.contextmanager
def serving(
    robot: RobotDescription, host: str, port: int, say: Callable[[str], None], is_simulated_time: bool = False
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Serve meanwhile. Gives the port, and a function that waits a moment and raises what has ended ROS.

    port: 0 for any that is free. Raises ServeError.
    """
    cv2.setNumThreads(1)
    keep_freed_memory()
    failed: list[Exception] = []
    model = Model(robot)
    if model.note:
        say(model.note)
    served = _Served(robot, model)
    with RosThread(failed.append) as ros:
        served.node = FoxgloveNode(robot, served.send, served.on_chunk, served.on_joints, say, is_simulated_time)
        ros.add(served.node)
        try:
            server = foxglove.start_server(
                name=f"clwm, {robot.name}",
                host=host,
                port=port,
                # Neither publishing nor services nor parameters.
                capabilities=[Capability.Time] if is_simulated_time else [],
                server_listener=_Lookers(ros, served),
                asset_handler=model.mesh,
                context=served.context,
                message_backlog_size=_BACKLOG,
            )
        except (RuntimeError, ValueError) as error:
            raise ServeError(
                f"cannot listen to {host}, port {port}: {error}; choose another --port or --host"
            ) from None

        def look() -> None:
            time.sleep(_CLOCK_PERIOD if is_simulated_time else 0.5)
            if is_simulated_time:
                server.broadcast_time(served.node.now)
            if failed:
                raise failed[0]

        try:
            yield server.port, look
        finally:
            server.stop()
