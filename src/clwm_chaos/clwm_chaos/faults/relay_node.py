"""The node `fault_relay`: stands between the nodes of the stack and harms messages when told to. For `clwm chaos` only.

The producers' topics are remapped to names under UPSTREAM, and what passes goes on under the real names, so that the
nodes themselves run unchanged.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64, Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from clwm_bringup.graph import NodeSpec
from clwm_chaos.faults.edits import EDITS
from clwm_chaos.faults.gripper_relay_node import GripperRelay, action_remappings
from clwm_chaos.faults.relay import Link, Tampering, TamperingError
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.lifecycle import ClwmNode, run
from clwm_common.ros.parameters import Parameter
from clwm_msgs.msg import ActionChunk, ChunkRequest, DualArmState

UPSTREAM = "/upstream"
TAMPERING_TOPIC = "/chaos/tampering"
APPLIED_TOPIC = "/chaos/applied"
LATE_PERIOD = 0.005  # s between two looks at what is delayed


@dataclass(frozen=True)
class Route:
    """A topic on its way from `producer` through the relay."""

    topic: str
    producer: str
    message: type
    quality: QoSProfile
    buffered: QoSProfile


def routes(robot: RobotDescription, sim_time: bool = False) -> list[Route]:
    """Everything between the executor and the rest, the cameras, and the clock by which the stack lives."""
    found = [Route("/clock", "sim", Clock, qos.SENSOR, qos.SENSOR_BUFFERED)] if sim_time else []
    found += [Route(robot.joint_states_topic, "sim", JointState, qos.SENSOR, qos.SENSOR_BUFFERED)]
    for camera in robot.cameras:
        found.append(Route(robot.camera_source(camera).topic, "sim", Image, qos.SENSOR, qos.SENSOR_BUFFERED))
    found.append(Route("/clwm/action_chunk", "policy", ActionChunk, qos.CRITICAL, qos.CRITICAL))
    found.append(Route("/clwm/chunk_request", "executor", ChunkRequest, qos.CRITICAL, qos.CRITICAL))
    found.append(Route("/clwm/state", "executor", DualArmState, qos.STATE, qos.STATE))
    for arm in robot.arms:
        kind = Float64MultiArray if arm.controller.kind == "forward" else JointTrajectory
        found.append(Route(arm.controller.topic, "executor", kind, qos.SETPOINT, qos.SETPOINT))
        if arm.gripper.command.kind == "topic":
            found.append(Route(arm.gripper.command.name, "executor", Float64, qos.SETPOINT, qos.SETPOINT))
    return found


def with_relay(specs: Iterable[NodeSpec], robot_name: str) -> tuple[NodeSpec, ...]:
    """The graph with the relay in it; the producers keep their code and their parameters."""
    robot = RobotDescription.load(robot_name)
    specs = list(specs)
    sim_time = any(spec.parameters.get("use_sim_time") for spec in specs)
    moved = routes(robot, sim_time)
    parameters = {"robot": robot_name, "relays_clock": sim_time}
    relay = NodeSpec("fault_relay", "clwm_bringup", "fault_relay_node", __name__, parameters)
    return (
        relay,
        *(
            replace(
                spec,
                remappings={
                    **{route.topic: UPSTREAM + route.topic for route in moved if route.producer == spec.name},
                    **({} if spec.name != "sim" else _action_remappings(robot)),
                },
            )
            for spec in specs
        ),
    )


def gripper_actions(robot: RobotDescription) -> list[str]:
    """Names of the grippers' actions."""
    return [arm.gripper.command.name for arm in robot.arms if arm.gripper.command.kind == "action"]


def _action_remappings(robot: RobotDescription) -> dict[str, str]:
    parts = [action_remappings(name, UPSTREAM) for name in gripper_actions(robot)]
    return {real: moved for part in parts for real, moved in part.items()}


class FaultRelayNode(ClwmNode):
    """Passes messages on as bytes; only what is to be changed is taken apart."""

    PARAMETERS = (
        Parameter("robot", "dual_fr3_mujoco", "name of the robot description in config/robots"),
        Parameter("relays_clock", False, "stand between the simulation's /clock and the stack, too"),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("fault_relay", **kwargs)
        self._grippers: dict[str, GripperRelay] = {}

    def configure(self) -> None:
        robot = RobotDescription.load(self.params.robot)
        self._routes = {route.topic: route for route in routes(robot, self.params.relays_clock)}
        self._links: dict[str, Link] = {topic: Link() for topic in self._routes}
        self._grippers = {
            name: GripperRelay(self, name, UPSTREAM, functools.partial(self._on_message, name))
            for name in gripper_actions(robot)
        }
        self._links |= {name: Link() for name in self._grippers}
        self._outputs = {
            topic: self.create_publisher(route.message, topic, route.quality) for topic, route in self._routes.items()
        }
        self._reported = -1
        self._current = -1
        self._applied = self.create_publisher(String, APPLIED_TOPIC, qos.CRITICAL)
        for topic, route in self._routes.items():
            on_message = functools.partial(self._on_message, topic)
            self.create_subscription(route.message, UPSTREAM + topic, on_message, route.buffered, raw=True)
        self.create_subscription(String, TAMPERING_TOPIC, self._on_tampering, qos.CRITICAL, max_bytes=4096)
        self.create_timer(LATE_PERIOD, self._send_late)

    def _on_tampering(self, message: String) -> None:
        try:
            tampering = Tampering.from_json(message.data)
        except TamperingError as error:
            self.log("error", str(error))
            return
        for topic in tampering.topics:
            edit = functools.partial(self._edited, topic, tampering.edit) if tampering.edit else None
            self._links[topic].begin(self.now(), tampering, edit)
        self._current = tampering.identity

    def cleanup(self) -> None:
        for gripper in self._grippers.values():
            gripper.destroy()
        self._grippers = {}

    def _pass(self, topic: str, each: Any) -> None:
        if topic in self._grippers:
            self._grippers[topic].forward(each)
        else:
            self._outputs[topic].publish(each)

    def _on_message(self, topic: str, data: Any) -> None:
        """Bytes of a topic, or a goal of a gripper's action."""
        if not self.is_active:
            return
        now = self.now()
        passed, is_harmed = self._links[topic].take(now, data)
        for each in passed:
            self._pass(topic, each)
        if is_harmed and self._reported != self._current:
            self._reported = self._current
            self._applied.publish(String(data=json.dumps({"identity": self._current, "at": now, "topic": topic})))

    def _edited(self, topic: str, edit: str, data: bytes) -> bytes:
        return serialize_message(EDITS[edit](deserialize_message(data, self._routes[topic].message)))

    def _send_late(self) -> None:
        now = self.now()
        for topic, link in self._links.items():
            for message in link.due(now):
                self._pass(topic, message)


def main() -> int:
    return run(FaultRelayNode)


if __name__ == "__main__":
    raise SystemExit(main())
