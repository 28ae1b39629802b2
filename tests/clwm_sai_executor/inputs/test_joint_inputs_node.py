"""Joint states over DDS: what is overtaken costs no unpacking, and of publishers that share a topic none is lost."""

import time

import pytest
import rclpy
from sensor_msgs.msg import JointState

from clwm_common.ros import qos
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import ClwmNode
from clwm_sai_executor.inputs.joint_inputs_node import JointInputs
from clwm_sai_executor.inputs.joint_intake import JointIntake

PATIENCE, TOPIC = 20.0, "/joint_states"

pytestmark = pytest.mark.usefixtures("ros_context")


class Counting(JointIntake):
    """Counts the messages that were unpacked."""

    taken = 0

    def take(self, *args):
        self.taken += 1
        return super().take(*args)


class Listener(ClwmNode):
    """Hears joint states as the executor does."""

    def __init__(self, robot) -> None:
        super().__init__("listener")
        self.intake, self.arms = Counting(robot, 1.0), []

    def configure(self) -> None:
        JointInputs(self, self.intake, 0.02, self.arms.append)

    def activate(self) -> None:
        self.intake.start(self.now())


@pytest.fixture
def rig(robot):
    node, driver = Listener(robot), rclpy.create_node("driver")
    node.trigger_configure()
    node.trigger_activate()
    joints = driver.create_publisher(JointState, TOPIC, qos.SENSOR_DEEP)
    names = [*robot.joint_names, *(arm.gripper.finger_joint for arm in robot.arms)]
    spinner = StaticSingleThreadedExecutor()
    spinner.add_node(node)

    def say(part=slice(None)):
        some = names[part]
        message = JointState(name=some, position=[0.0] * len(some), velocity=[0.0] * len(some))
        message.header.stamp = to_stamp(node.now())
        joints.publish(message)

    deadline = time.monotonic() + PATIENCE
    while not joints.get_subscription_count():
        assert time.monotonic() < deadline
        spinner.spin_once(timeout_sec=0.02)
    yield node, spinner, say
    spinner.shutdown(timeout_sec=1.0)
    node.trigger_shutdown()
    for each in (node, driver):
        each.destroy_node()


def test_driver_at_a_thousand_hertz_is_looked_at_once_a_period(rig):
    node, spinner, say = rig
    sent, until = 0, time.monotonic() + 1.0
    while time.monotonic() < until:
        say()
        sent += 1
        spinner.spin_once(timeout_sec=0.001)
    # The first message, before it is known to be whole, may bring those queued behind it.
    assert sent > 200 and 5 <= node.intake.taken <= 60
    assert node.intake.problems(node.now()) == []


def test_arm_and_hand_that_share_a_topic_are_both_heard(rig):
    node, spinner, say = rig
    until = time.monotonic() + PATIENCE
    while len(node.arms) < 20:
        assert time.monotonic() < until, node.intake.problems(node.now())
        say(slice(0, 14))
        say(slice(14, 16))
        spinner.spin_once(timeout_sec=0.01)
    assert node.intake.problems(node.now()) == []
