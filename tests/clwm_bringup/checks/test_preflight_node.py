"""What preflight reads off the ROS graph."""

import time

import pytest
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from trajectory_msgs.msg import JointTrajectory

from clwm_bringup.checks.preflight_node import PreflightNode
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos

pytestmark = pytest.mark.usefixtures("ros_context")

LATE_JOINER = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (qos.CONTROLLER, "listens best effort"),
        (qos.SETPOINT, "listens reliable"),
        (LATE_JOINER, "arm hears nothing on /left_arm_controller/joint_trajectory"),
    ],
)
def test_how_a_controller_listens_is_read_off_the_graph(profile, expected):
    robot = RobotDescription.load("dual_fr3_mujoco")
    arm, preflight = rclpy.create_node("arm"), PreflightNode(robot)
    arm.create_subscription(JointTrajectory, robot.left.controller.topic, lambda _: None, profile)
    deadline = time.monotonic() + 10.0
    found = ""
    while expected not in found and time.monotonic() < deadline:
        found = dict(preflight.results())["left controller"].found
        time.sleep(0.02)
    arm.destroy_node()
    preflight.destroy_node()
    assert expected in found
