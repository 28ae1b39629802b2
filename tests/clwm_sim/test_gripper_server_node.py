"""The simulated robot whose grippers are behind an action: goals end where the fingers do, a newer one replaces one."""

import time

import pytest
import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_msgs.action import MoveGripper
from clwm_sim.controllers.gripper_goal import HOLDS_AFTER, GripperGoal
from clwm_sim.node import SimNode

pytestmark = pytest.mark.usefixtures("ros_context")
PATIENCE = 30.0  # s until a test gives up


def test_goal_ends_where_the_fingers_are_or_where_they_stand_on_something():
    goal = GripperGoal(0.04)
    assert goal.look(0.0, 0.08, 0.0) is None and goal.look(0.2, 0.07, -0.1) is None
    assert goal.look(0.5, 0.041, -0.1).is_holding is False
    goal = GripperGoal(0.0)
    assert goal.look(0.0, 0.05, -0.1) is None and goal.look(0.1, 0.045, 0.0) is None
    assert goal.look(0.11 + HOLDS_AFTER, 0.045, 0.0).is_holding is True


@pytest.fixture
def rig():
    node = SimNode(parameter_overrides=[Parameter("robot", value="dual_fr3_gripper_action")])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    peer = rclpy.create_node("gripper_client")
    client = ActionClient(peer, MoveGripper, "/left_gripper/move")
    spinner = StaticSingleThreadedExecutor()
    for each in (node, peer):
        spinner.add_node(each)

    def spin_until(condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, node.diagnose()
            spinner.spin_once(timeout_sec=0.05)

    spin_until(client.server_is_ready)
    yield client, spin_until
    spinner.shutdown(timeout_sec=1.0)
    client.destroy()
    peer.destroy_node()
    node.trigger_shutdown()
    node.destroy_node()


def test_simulated_gripper_ends_its_goals_and_drops_one_for_a_newer(rig):
    client, spin_until = rig

    def send(width):
        asked = client.send_goal_async(MoveGripper.Goal(width=width))
        spin_until(asked.done)
        return asked.result().get_result_async() if asked.result().accepted else None

    first = send(0.0)
    second = send(0.05)
    spin_until(lambda: first.done() and second.done())
    assert first.result().status == GoalStatus.STATUS_ABORTED and "another goal came" in first.result().result.message
    assert second.result().status == GoalStatus.STATUS_SUCCEEDED
    assert second.result().result.width == pytest.approx(0.05, abs=0.003)
    assert send(float("nan")) is None
