"""What preflight reads off the ROS graph."""

import time

import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from trajectory_msgs.msg import JointTrajectory

from clwm_bringup.checks.doctor import Outcome
from clwm_bringup.checks.preflight_node import PreflightNode
from clwm_common.robot.camera_source import CameraSource
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor

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


def test_pictures_are_read_by_the_robots_file_described_and_kept_for_the_sheet():
    robot = RobotDescription.load("dual_fr3_mujoco")
    source = CameraSource(crop="centre", resize="scale")
    robot = robot.model_copy(update={"camera_sources": {"head": source}})
    driver, preflight = rclpy.create_node("driver"), PreflightNode(robot, (128, 128))
    outputs = {name: driver.create_publisher(Image, f"/cameras/{name}/image_raw", qos.SENSOR) for name in robot.cameras}
    infos = driver.create_publisher(CameraInfo, "/cameras/head/camera_info", qos.SENSOR)
    k = [600.0, 0.0, 319.5, 0.0, 600.0, 239.5, 0.0, 0.0, 1.0]
    executor = StaticSingleThreadedExecutor()
    executor.add_node(preflight)
    deadline = time.monotonic() + 20.0
    refusal = "/cameras/left_wrist/image_raw: they are 640 x 480; the encoder was trained on 128 x 128"
    found = {"camera head": "", "camera left_wrist": ""}
    while ("degrees" not in found["camera head"] or refusal not in found["camera left_wrist"]) and (
        time.monotonic() < deadline
    ):
        infos.publish(CameraInfo(height=480, width=640, distortion_model="plumb_bob", k=k))
        for camera in ("head", "left_wrist"):
            message = Image(height=480, width=640, step=1280, encoding="yuyv", data=bytes(480 * 1280))
            message.header.stamp = driver.get_clock().now().to_msg()
            outputs[camera].publish(message)
        executor.spin_once(timeout_sec=0.05)
        found = {title: f"{result.found}; {result.remedy}" for title, result in preflight.results()}
    pictures = preflight.pictures
    executor.shutdown()
    driver.destroy_node()
    preflight.destroy_node()
    said = "640 x 480, cropped to 480 x 480, resized to 128 x 128, field of view 44 x 44 degrees"
    assert said in found["camera head"] and refusal in found["camera left_wrist"], found
    assert list(pictures) == ["head"] and pictures["head"].pixels().shape == (128, 128, 3)


def test_a_missing_clock_is_named_before_all_else_and_one_that_comes_is_well():
    preflight, source = PreflightNode(RobotDescription.load("dual_fr3_mujoco")), rclpy.create_node("clock_source")
    preflight.set_parameters([Parameter("use_sim_time", value=True)])
    output = source.create_publisher(Clock, "/clock", qos.SENSOR)
    executor = StaticSingleThreadedExecutor()
    executor.add_node(preflight)
    preflight.poll()
    title, missing = preflight.results()[0]
    assert (title, missing.outcome) == ("clock", Outcome.FAIL) and "no /clock has come" in missing.found
    deadline, instant = time.monotonic() + 20.0, 100.0
    while preflight.results()[0][1].outcome is not Outcome.OK and time.monotonic() < deadline:
        instant += 0.01
        output.publish(Clock(clock=to_stamp(instant)))
        executor.spin_once(timeout_sec=0.02)
        preflight.poll()
    found = preflight.results()[0][1]
    executor.shutdown()
    source.destroy_node()
    preflight.destroy_node()
    assert found.outcome is Outcome.OK and found.found.startswith("/clock says 10"), found
