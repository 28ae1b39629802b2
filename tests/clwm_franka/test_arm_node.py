"""An arm's process over ROS: trajectories in, joints out, and what stops it told to those who move it."""

import time

import numpy as np
import pytest

pytest.importorskip("pylibfranka", reason="not among the dependencies of every installation: pip install .[franka]")

import shutil

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_common.robot.description import RobotDescription, config_directory
from clwm_common.ros import qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_franka.arm_node import ArmNode
from clwm_msgs.msg import DriverStatus

pytestmark = pytest.mark.usefixtures("ros_context")
PATIENCE = 120.0  # s until a test gives up


class Mover:
    """Who moves the arm: sends trajectories, hears joints and what the driver says."""

    def __init__(self, arm):
        self.joints, self.faults = [], []
        self.node = rclpy.create_node("mover")
        self.node.create_subscription(JointState, arm.joint_states_topic, self.joints.append, qos.SENSOR)
        self.node.create_subscription(DriverStatus, "/clwm/driver_status", self._on_status, qos.LATCHED_BY_ALL)
        self.motion = self.node.create_publisher(JointTrajectory, arm.controller.topic, qos.SETPOINT)
        self.recovery = self.node.create_client(Trigger, "/left_arm/recover")

    def _on_status(self, message):
        self.faults.append(message.fault)


@pytest.fixture
def rig(robots, tmp_path, monkeypatch):
    shutil.copytree(config_directory(), tmp_path / "config")
    file = tmp_path / "config/robots/dual_fr3_libfranka.yaml"
    text = file.read_text()
    for shipped, own in zip(("127.0.0.1", "127.0.0.2"), robots.addresses, strict=True):
        text = text.replace(shipped, own)
    file.write_text(text)
    monkeypatch.setenv("CLWM_CONFIG", str(tmp_path / "config"))
    arm = RobotDescription.load("dual_fr3_libfranka").left
    node = ArmNode(
        parameter_overrides=[Parameter("arm", value="left")], cli_args=["--ros-args", "-r", "__node:=left_arm"]
    )
    mover = Mover(arm)
    spinner = StaticSingleThreadedExecutor()
    for each in (node, mover.node):
        spinner.add_node(each)

    def spin_until(condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, node.diagnose()
            spinner.spin_once(timeout_sec=0.01)

    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield robots, arm, node, mover, spin_until
    node.trigger_shutdown()
    spinner.shutdown(timeout_sec=1.0)
    mover.node.destroy_node()
    node.destroy_node()


def test_an_arm_follows_is_stopped_by_a_reflex_says_so_and_goes_on_when_it_is_recovered(rig):
    robots, arm, node, mover, spin_until = rig
    goal = np.array(arm.home) + 0.1
    point = JointTrajectoryPoint(positions=goal.tolist(), velocities=[0.0] * 7)
    point.time_from_start.nanosec = 500_000_000
    motion = JointTrajectory(joint_names=arm.joint_names, points=[point])

    def is_there(offset):
        return mover.joints and np.abs(np.array(mover.joints[-1].position) - goal - offset).max() < 1e-3

    spin_until(lambda: mover.faults == [""] and mover.joints and mover.motion.get_subscription_count())
    mover.motion.publish(motion)
    spin_until(lambda: is_there(0.0))
    assert mover.joints[-1].name == arm.joint_names

    robots.disturb("left", "joint_reflex")
    spin_until(lambda: mover.faults[-1])
    assert "left arm: stopped by joint_reflex" in mover.faults[-1] and "clwm recover left" in mover.faults[-1]
    assert node.diagnose().message == mover.faults[-1]

    spin_until(mover.recovery.service_is_ready)
    answer = mover.recovery.call_async(Trigger.Request())
    spin_until(answer.done)
    assert answer.result().success and node.diagnose().message == "takes commands"
    point.positions = (goal - 0.05).tolist()
    mover.motion.publish(motion)
    spin_until(lambda: is_there(-0.05))
    refused = mover.recovery.call_async(Trigger.Request())
    spin_until(refused.done)
    assert refused.result().message == "left arm: nothing is wrong; it takes commands"
