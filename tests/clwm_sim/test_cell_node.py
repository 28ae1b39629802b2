"""Arms that nobody here knew before, on the topics that any others have: from their URDF to a motion over DDS."""

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_bringup.commands.new_robot import new_robot
from clwm_common.ros import qos
from tests.made_up_arms import two_arms

from .test_sim_node import new_node, spin_until

pytestmark = pytest.mark.usefixtures("ros_context")


@pytest.fixture
def sim(tmp_path, monkeypatch):
    (tmp_path / "robots").mkdir()
    monkeypatch.setenv("CLWM_CONFIG", str(tmp_path))
    urdf = tmp_path / "robots" / "made_up.urdf"
    urdf.write_text(two_arms())
    new_robot(urdf=urdf, left="left_", right="right_", twice=False, flange="", out=None, force=False)
    node = new_node(robot="made_up", max_lag=5.0)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield node
    node.trigger_shutdown()
    node.destroy_node()


def test_arms_described_by_new_robot_tell_their_six_joints_each_and_follow_a_trajectory(sim):
    probe, heard = rclpy.create_node("probe"), []
    probe.create_subscription(JointState, "/joint_states", heard.append, qos.SENSOR)
    names = [f"right_joint{number}" for number in range(1, 7)]
    output = probe.create_publisher(JointTrajectory, "/right_arm_controller/joint_trajectory", qos.SETPOINT)
    spin_until(lambda: heard and output.get_subscription_count(), sim, probe, seconds=30.0)
    assert heard[-1].name == [f"left_joint{number}" for number in range(1, 7)] + names + [
        "left_finger1",
        "right_finger1",
    ]
    assert len(heard[-1].position) == len(heard[-1].velocity) == 14
    message = JointTrajectory(joint_names=names)
    point = JointTrajectoryPoint(positions=[0.2] * 6, velocities=[0.0] * 6)
    point.time_from_start.nanosec = 300_000_000
    message.points.append(point)
    output.publish(message)

    def has_arrived():
        places = dict(zip(heard[-1].name, heard[-1].position, strict=True))
        return all(abs(places[name] - 0.2) < 0.02 for name in names) and abs(places["left_joint1"]) < 0.02

    spin_until(has_arrived, sim, probe, seconds=30.0)
    probe.destroy_node()
