"""The node `sim` over DDS, in this process: its messages, its reset, its refusals."""

import time

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration, Time
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_msgs.srv import ResetWorld
from clwm_sim.node import SimNode, joint_trajectory
from clwm_sim.pacing import PictureTaken
from clwm_sim.sensor_messages import camera_info, image

pytestmark = pytest.mark.usefixtures("ros_context")


def new_node(context=None, **parameters) -> SimNode:
    overrides = [Parameter(name, value=value) for name, value in {"image_size": 32, **parameters}.items()]
    return SimNode(context=context, parameter_overrides=overrides)


@pytest.fixture(scope="module")
def sim():
    node = new_node(max_lag=5.0)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield node
    node.trigger_shutdown()
    node.destroy_node()


@pytest.fixture(scope="module")
def probe():
    node = rclpy.create_node("probe")
    yield node
    node.destroy_node()


def spin_until(condition, *nodes, seconds=10.0, context=None):
    executor = StaticSingleThreadedExecutor(context=context)
    for node in nodes:
        executor.add_node(node)
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown(timeout_sec=0.0)
    assert condition(), f"not within {seconds} s"


def test_all_sensors_are_heard_with_names_and_sizes(sim, probe):
    heard = {}
    for kind, topic in (
        (JointState, "/joint_states"),
        (Image, "/cameras/head/image_raw"),
        (Image, "/cameras/right_wrist/image_raw"),
        (CameraInfo, "/cameras/left_wrist/camera_info"),
    ):
        probe.create_subscription(kind, topic, lambda message, topic=topic: heard.update({topic: message}), qos.SENSOR)
    spin_until(lambda: len(heard) == 4, sim, probe)
    assert len(heard["/joint_states"].name) == len(heard["/joint_states"].position) == 16
    picture = heard["/cameras/head/image_raw"]
    assert (picture.encoding, picture.step, len(picture.data)) == ("rgb8", 96, 32 * 32 * 3)
    assert heard["/cameras/left_wrist/camera_info"].k[0] > 0.0


def test_trajectory_by_topic_moves_the_arm_and_a_bad_one_is_counted(sim, probe):
    joints = {}
    probe.create_subscription(
        JointState, "/joint_states", lambda m: joints.update(zip(m.name, m.position, strict=True)), qos.SENSOR
    )
    spin_until(lambda: joints, sim, probe)
    names = [f"left_fr3_joint{index}" for index in range(1, 8)]
    goal = [joints[name] for name in names]
    goal[6] += 0.2
    publisher = probe.create_publisher(JointTrajectory, "/left_arm_controller/joint_trajectory", qos.SETPOINT)
    spin_until(lambda: publisher.get_subscription_count() == 1, sim, probe)
    point = JointTrajectoryPoint(positions=goal, velocities=[0.0] * 7, time_from_start=Duration(nanosec=300_000_000))
    publisher.publish(JointTrajectory(joint_names=names, points=[point]))
    spin_until(lambda: abs(joints["left_fr3_joint7"] - goal[6]) < 0.01, sim, probe)
    publisher.publish(JointTrajectory(joint_names=names[:6], points=[point]))
    spin_until(lambda: sim.diagnose().values["commands_refused"] == 1, sim, probe)
    assert "left_fr3_joint7" in sim.diagnose().values["last_refusal"]


def test_reset_switches_the_task_and_an_unknown_one_is_refused_with_the_names(sim, probe):
    client = probe.create_client(ResetWorld, "/clwm_sim/reset")
    spin_until(client.service_is_ready, sim, probe)
    answers = [client.call_async(ResetWorld.Request(task=task, seed=4)) for task in ("place_block", "juggle")]
    spin_until(lambda: all(answer.done() for answer in answers), sim, probe)
    accepted, refused = (answer.result() for answer in answers)
    assert accepted.accepted and "block" in accepted.instruction
    assert not refused.accepted and "lift_tray, place_block" in refused.message


def test_after_a_reset_to_another_scene_its_calibration_is_published(sim, probe):
    heard = []
    probe.create_subscription(CameraInfo, "/cameras/head/camera_info", lambda m: heard.append(m.k[0]), qos.SENSOR)
    spin_until(lambda: heard, sim, probe)
    before = heard[-1]
    client = probe.create_client(ResetWorld, "/clwm_sim/reset")
    spin_until(client.service_is_ready, sim, probe)
    answer = client.call_async(ResetWorld.Request(task="blocks:stack", seed=4))
    spin_until(answer.done, sim, probe)
    assert answer.result().accepted and answer.result().instruction
    # The scenes see more of the table, which the same number of pixels shows smaller.
    spin_until(lambda: heard[-1] < 0.9 * before, sim, probe)
    assert heard[-1] == pytest.approx(sim._world.camera_info("head").fx)


def test_configure_refuses_an_unknown_task_by_name():
    apart = rclpy.Context()  # one domain has one simulation, and the other tests' one runs
    rclpy.init(context=apart, domain_id=101)
    node = new_node(context=apart, task="juggle")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "task 'juggle' does not exist" in node.fault
    node.destroy_node()


def test_pictures_and_their_calibration_have_the_size_that_the_robots_file_asks_for():
    apart = rclpy.Context()
    rclpy.init(context=apart, domain_id=101)
    node, probe = new_node(context=apart, robot="dual_fr3_640x480"), rclpy.create_node("probe", context=apart)
    heard = {}
    probe.create_subscription(Image, "/cameras/head/image_raw", lambda m: heard.update(picture=m), qos.SENSOR)
    probe.create_subscription(CameraInfo, "/cameras/head/camera_info", lambda m: heard.update(info=m), qos.SENSOR)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    spin_until(lambda: len(heard) == 2, node, probe, context=apart)
    assert all((message.width, message.height) == (640, 480) for message in heard.values())
    assert len(heard["picture"].data) == 640 * 480 * 3 and 310.0 < heard["info"].k[2] < 330.0
    node.trigger_shutdown()
    node.destroy_node()
    probe.destroy_node()


def test_image_carries_the_rows_of_the_picture_unchanged():
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    message = image(Time(sec=5), PictureTaken(5.0, "head", picture))
    np.testing.assert_array_equal(np.frombuffer(message.data, np.uint8).reshape(2, 4, 3), picture)
    assert (message.height, message.width, message.header.frame_id) == (2, 4, "head_optical_frame")


def test_camera_info_has_the_intrinsics_in_k_and_p(sim):
    intrinsics = sim._world.camera_info("head")
    info = camera_info("head", intrinsics)
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), intrinsics.matrix)
    np.testing.assert_allclose(np.reshape(info.p, (3, 4))[:, :3], intrinsics.matrix)


def test_trajectory_message_keeps_stamp_times_and_absent_fields():
    message = JointTrajectory(joint_names=["a"])
    message.header.stamp = Time(sec=7, nanosec=250_000_000)
    message.points = [JointTrajectoryPoint(positions=[1.5], time_from_start=Duration(sec=1, nanosec=500_000_000))]
    core = joint_trajectory(message)
    assert (core.joint_names, core.stamp, core.points[0].time_from_start) == (("a",), 7.25, 1.5)
    assert list(core.points[0].positions) == [1.5]
    assert len(core.points[0].velocities) == len(core.points[0].accelerations) == len(core.points[0].effort) == 0


def test_behind_other_controllers_joints_go_where_they_are_told_by_name():
    apart = rclpy.Context()  # one domain has one simulation, and the other tests' one runs
    rclpy.init(context=apart, domain_id=101)
    node, probe = new_node(context=apart, robot="dual_fr3_ros2_control", max_lag=5.0), None
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        probe, joints = rclpy.create_node("probe", context=apart), {}
        probe.create_subscription(
            JointState,
            "/clwm_sim/joint_states",
            lambda m: joints.update(zip(m.name, m.position, strict=True)),
            qos.SENSOR,
        )
        publisher = probe.create_publisher(JointState, "/clwm_sim/joint_commands", 1)
        spin_until(lambda: joints and publisher.get_subscription_count() == 1, node, probe, seconds=60.0, context=apart)
        names = [*(f"right_fr3_joint{index}" for index in range(1, 8)), "right_fr3_finger_joint1"]
        wanted = [joints[name] for name in names]
        wanted[6], wanted[7] = wanted[6] + 0.1, 0.02

        def arrived():
            publisher.publish(JointState(name=names, position=wanted))
            return max(abs(joints[name] - value) for name, value in zip(names, wanted, strict=True)) < 0.005

        spin_until(arrived, node, probe, seconds=60.0, context=apart)
        publisher.publish(JointState(name=names, position=wanted[:7]))
        spin_until(lambda: node.diagnose().values["commands_refused"] == 1, node, probe, seconds=60.0, context=apart)
        assert "8 names and 7 positions" in node.diagnose().values["last_refusal"]
        assert not node.count_publishers("/joint_states")
    finally:
        node.trigger_shutdown()
        for each in (node, probe):
            if each is not None:
                each.destroy_node()
        rclpy.try_shutdown(context=apart)


@pytest.fixture
def other_world(sim):
    """Makes a node while the module's own, of the same role, is not configured."""
    made = []

    def make(**parameters):
        made.append(new_node(**parameters))
        return made[-1]

    sim.trigger_deactivate()
    sim.trigger_cleanup()
    yield make
    for node in made:
        node.trigger_shutdown()
        node.destroy_node()
    assert sim.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert sim.trigger_activate() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_with_a_clock_rate_the_world_makes_the_time_and_stamps_by_it(other_world, rate):
    node, probe = other_world(rate=rate), rclpy.create_node("clock_reader")
    clocks, stamps = [], []
    probe.create_subscription(
        Clock, "/clock", lambda m: clocks.append((time.monotonic(), from_stamp(m.clock))), qos.SENSOR_DEEP
    )
    probe.create_subscription(
        JointState, "/joint_states", lambda m: stamps.append(from_stamp(m.header.stamp)), qos.SENSOR_DEEP
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    began = time.monotonic()
    try:
        spin_until(lambda: len(clocks) > 50 and len(stamps) > 50, node, probe, seconds=60.0)
    finally:
        health = node.diagnose()
        probe.destroy_node()
    times = [at for _, at in clocks]
    assert times == sorted(times) and set(stamps) & set(times)
    # No faster than asked; a busy machine may be slower.
    assert times[-1] - times[0] <= rate * (clocks[-1][0] - began) + 0.2
    assert health.values["real_time_factor"] <= 1.1 * rate


def test_a_simulation_that_is_to_live_by_its_own_clock_says_what_to_set_instead(other_world):
    node = other_world(use_sim_time=True)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "set its 'rate' instead of 'use_sim_time'" in node.fault
