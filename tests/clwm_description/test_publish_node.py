"""Whoever comes late still hears the robot's description."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
import rclpy
from std_msgs.msg import String

from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_description.publish_node import TOPIC, DescriptionNode

pytestmark = pytest.mark.usefixtures("ros_context")


def test_a_late_joiner_hears_the_description_of_the_robot():
    robot = RobotDescription.load("dual_fr3_mujoco")
    node, late, heard = DescriptionNode(robot), rclpy.create_node("late"), []
    late.create_subscription(String, TOPIC, lambda message: heard.append(message.data), qos.LATCHED)
    executor = StaticSingleThreadedExecutor()
    for each in (node, late):
        executor.add_node(each)
    deadline = time.monotonic() + 30.0
    while not heard and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown(timeout_sec=0.0)
    for each in (node, late):
        each.destroy_node()
    urdf = ElementTree.fromstring(heard[0])
    assert [it.get("name") for it in urdf.findall("joint") if it.get("type") == "revolute"] == robot.joint_names
    assert urdf.find("ros2_control") is None
