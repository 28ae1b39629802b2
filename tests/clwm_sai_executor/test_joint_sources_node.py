"""The executor over arms that publish in namespaces of their own, as two franka_ros2 drivers do."""

import re
import time

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.gripper import GripperTopic
from clwm_common.ros import qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_sai_executor.node import ExecutorNode
from clwm_sai_executor.phase import Phase

PATIENCE = 20.0  # s until a test gives up

pytestmark = pytest.mark.usefixtures("ros_context")


def with_gripper_topic(arm, name):
    """Grippers by action need control_msgs, which is not what is tested here."""
    command = GripperTopic(kind="topic", name=name)
    return arm.model_copy(update={"gripper": arm.gripper.model_copy(update={"command": command})})


class Bench:
    """The executor, and a driver for each arm and gripper; `silent` topics say nothing."""

    def __init__(self, robot) -> None:
        self.silent = set()
        self.executor = ExecutorNode(
            parameter_overrides=[
                Parameter("robot", value="dual_fr3_franka"),
                Parameter("state_timeout", value=1.0),
            ]
        )
        self._node = rclpy.create_node("drivers")
        self._spinner = StaticSingleThreadedExecutor()
        for node in (self.executor, self._node):
            self._spinner.add_node(node)
        for source in robot.joint_sources():
            home = [*robot.home, 0.04, 0.04]
            message = JointState(name=list(source.names), position=[float(home[place]) for place in source.places])
            publisher = self._node.create_publisher(JointState, source.topic, qos.SENSOR)
            self._node.create_timer(0.02, lambda p=publisher, m=message, t=source.topic: self._say(p, m, t))

    def _say(self, publisher, message, topic) -> None:
        if topic not in self.silent:
            message.header.stamp = self._node.get_clock().now().to_msg()
            publisher.publish(message)

    def wait_for(self, phases) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.executor.scheduler.phase not in phases:
            assert time.monotonic() < deadline, self.executor.scheduler.phase
            self._spinner.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._spinner.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        self.executor.trigger_shutdown()
        self.executor.destroy_node()


@pytest.fixture
def bench(monkeypatch):
    shipped = RobotDescription.load("dual_fr3_franka")
    arms = {side: with_gripper_topic(getattr(shipped, side), f"/{side}/gripper/command") for side in ("left", "right")}
    robot = shipped.model_copy(update=arms)
    monkeypatch.setattr(RobotDescription, "load", lambda name: robot)
    made = Bench(robot)
    assert made.executor.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert made.executor.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield made
    made.close()


@pytest.mark.parametrize("topic", ["/left/franka/joint_states", "/right/franka/joint_states"])
def test_one_arm_that_falls_silent_makes_both_brake_until_it_is_back(bench, topic):
    bench.wait_for({Phase.IDLE})
    bench.silent = {topic}
    bench.wait_for({Phase.BLIND})
    assert "joint states are" in bench.executor.scheduler.fault
    bench.silent = set()
    bench.wait_for({Phase.IDLE})
    assert not bench.executor.scheduler.fault


def test_a_gripper_that_falls_silent_makes_them_brake_too_and_is_named(bench):
    bench.wait_for({Phase.IDLE})
    bench.silent = {"/right/franka_gripper/joint_states"}
    bench.wait_for({Phase.BLIND})
    assert re.search(r"/right/franka_gripper/joint_states (is|has been silent)", bench.executor.diagnose().message)
