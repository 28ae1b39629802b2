"""Controllers are asked for their parameters over DDS, by a node that plays one; nothing waits for them."""

import time

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from clwm_common.ros import qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_sai_executor.node import ExecutorNode

PATIENCE = 20.0  # s until a test gives up


pytestmark = pytest.mark.usefixtures("ros_context")


class Bench:
    """The executor, nodes with the names and parameters of controllers, and arms that stay at home."""

    def __init__(self, robot) -> None:
        self._robot = robot
        self.executor = ExecutorNode(parameter_overrides=[Parameter("state_timeout", value=5.0)])
        self.probe = rclpy.create_node("probe")
        self._spinner = StaticSingleThreadedExecutor()
        for node in (self.executor, self.probe):
            self._spinner.add_node(node)
        self._joints = self.probe.create_publisher(JointState, robot.joint_states_topic, qos.SENSOR)
        self.probe.create_timer(0.02, self._publish_joints)
        self._controllers = {}

    def controller(self, side, **parameters) -> Node:
        arm = getattr(self._robot, side)
        name = arm.controller.node.strip("/")
        node = Node(name, allow_undeclared_parameters=True)
        for key, value in {"joints": arm.joint_names, "command_interfaces": ["position"], **parameters}.items():
            node.declare_parameter(key, value)
        self._spinner.add_node(node)
        self._controllers[name] = node
        return node

    def end(self, node) -> None:
        self._spinner.remove_node(self._controllers.pop(node.get_name()))
        node.destroy_node()

    def start(self) -> None:
        assert self.executor.trigger_configure() == TransitionCallbackReturn.SUCCESS
        self.activate()

    def activate(self) -> None:
        began = time.monotonic()
        assert self.executor.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert time.monotonic() - began < 0.2

    def close(self) -> None:
        self._spinner.shutdown(timeout_sec=1.0)
        self.executor.trigger_shutdown()
        for node in (self.executor, self.probe, *self._controllers.values()):
            node.destroy_node()

    def _publish_joints(self) -> None:
        fingers = [arm.gripper.finger_joint for arm in self._robot.arms]
        message = JointState(name=[*self._robot.joint_names, *fingers])
        message.header.stamp = self.probe.get_clock().now().to_msg()
        message.position = [*self._robot.home.tolist(), 0.04, 0.04]
        self._joints.publish(message)

    def spin_until(self, condition) -> float:
        """Spin until `condition` holds, and return how long it took [s]."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE:
            if condition():
                return time.monotonic() - began
            self._spinner.spin_once(timeout_sec=0.02)
        pytest.fail(f"waited {PATIENCE} s in vain; fault {self.executor.fault!r}")

    def sees_arms(self) -> bool:
        return self.executor.scheduler.phase.name != "BLIND"

    def spoken_of(self) -> str:
        return self.executor.diagnose().values["controllers"]


@pytest.fixture
def bench(robot):
    made = Bench(robot)
    yield made
    made.close()


def test_controllers_without_parameters_are_taken_for_those_of_jazzy_after_a_moment(bench):
    bench.start()
    assert bench.spin_until(bench.sees_arms) < 2.0
    assert bench.spoken_of().count("parameters not known, taken for a joint_trajectory_controller of Jazzy") == 2


def test_controllers_with_good_parameters_are_known(bench):
    for side in ("left", "right"):
        bench.controller(side, allow_trajectory_replacement=False)
    bench.start()
    bench.spin_until(bench.sees_arms)
    assert bench.spoken_of().count("parameters checked") == 2
    assert bench.executor.is_active and not bench.executor.fault


def test_controller_that_would_play_messages_late_gets_none_and_the_executor_says_what_to_do(bench):
    bench.controller("left", allow_trajectory_replacement=False)
    wrong = bench.controller("right", allow_trajectory_replacement=True)
    bench.start()
    bench.spin_until(lambda: not bench.executor.is_active)
    assert not bench.sees_arms()
    assert "/right_arm_controller: allow_trajectory_replacement is true" in bench.executor.fault
    assert "left_arm_controller" not in bench.executor.fault
    wrong.set_parameters([Parameter("allow_trajectory_replacement", value=False)])
    bench.activate()
    bench.spin_until(bench.sees_arms)
    assert bench.executor.is_active and not bench.executor.fault


def test_controller_of_other_joints_is_refused_by_their_names(bench):
    bench.controller("left", joints=["elbow", "wrist"])
    bench.start()
    bench.spin_until(lambda: not bench.executor.is_active)
    assert "no joint 'left_fr3_joint1'; its joints are elbow, wrist" in bench.executor.fault


def test_controller_that_reappears_is_asked_again(bench):
    first = bench.controller("left")
    bench.start()
    bench.spin_until(lambda: "/left_arm_controller: parameters checked" in bench.spoken_of())
    bench.end(first)
    bench.spin_until(lambda: "/left_arm_controller: parameters not known" in bench.spoken_of())
    assert bench.executor.is_active
    bench.controller("left", interpolation_method="none")
    bench.spin_until(lambda: not bench.executor.is_active)
    assert "interpolation_method is 'none'" in bench.executor.fault


def test_what_should_be_known_of_a_controller_is_a_warning_in_the_diagnostics(bench):
    bench.controller("left", command_interfaces=["effort"])
    bench.start()
    bench.spin_until(bench.sees_arms)
    health = bench.executor.diagnose()
    assert health.level == 1 and "/left_arm_controller: it commands effort" in health.message
