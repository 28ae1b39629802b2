"""Transforms of a URDF's links are where the robot's own kinematics have them."""

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.joint_chain import position_and_quaternion
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_description.link_frames import ArmFrames, LinkFrames
from clwm_description.urdf import Choices, robot_urdf

ROBOT = RobotDescription.load("dual_fr3_mujoco")
FINGERS = {f"{side}_fr3_finger_joint1": 0.03 for side in ("left", "right")}


@pytest.fixture(scope="module")
def frames():
    return LinkFrames(robot_urdf(ROBOT, Choices(hardware="")))


def matrix(pose):
    x, y, z, w = pose[3:]
    result = np.eye(4)
    result[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    result[:3, 3] = pose[:3]
    return result


def in_the_world(found, link):
    above = {it.child: it for it in found}
    result = np.eye(4)
    while link != "world":
        result = matrix(above[link].pose) @ result
        link = above[link].parent
    return position_and_quaternion(result)


@pytest.mark.parametrize("seed", range(5))
def test_tools_are_where_the_kinematics_say(frames, seed):
    joints = ROBOT.home + np.random.default_rng(seed).uniform(-0.5, 0.5, 14)
    found = frames.at(dict(zip(ROBOT.joint_names, joints, strict=True)) | FINGERS)
    for side, pose in zip(("left", "right"), DualArmKinematics(ROBOT).poses(joints), strict=True):
        there = np.array(in_the_world(found, f"{side}_fr3_hand_tcp"))
        assert there[:3] == pytest.approx(pose[:3], abs=1e-6) and abs(there[3:] @ pose[3:]) == pytest.approx(1.0)


def test_cameras_are_where_the_robots_file_says(frames):
    found = frames.at(dict(zip(ROBOT.joint_names, ROBOT.home, strict=True)) | FINGERS)
    mounting = ROBOT.camera_source("head").mounting
    there = np.array(in_the_world(found, "head_optical_frame"))
    assert there[:3] == pytest.approx(mounting.position, abs=1e-4)
    assert abs(there[3:] @ np.array(mounting.orientation)) == pytest.approx(1.0, abs=1e-4)


def test_both_fingers_follow_the_one_that_is_measured(frames):
    found = {it.child: it.pose for it in frames.at(FINGERS)}
    fingers = [pose for child, pose in found.items() if "finger" in child and child.startswith("left")]
    assert len(fingers) == 2 and [abs(pose[1]) for pose in fingers] == pytest.approx([0.03, 0.03])


def test_links_whose_joints_are_not_known_are_left_out_and_the_others_are_there(frames):
    known = {it.child for it in frames.at({"left_fr3_joint1": 0.0})}
    assert {"left_fr3_link0", "left_fr3_link1", "head_optical_frame"} <= known and "left_fr3_link2" not in known


def test_a_joint_that_no_arm_has_is_refused_by_name():
    urdf = '<robot name="r"><joint name="j" type="floating"><parent link="a"/><child link="b"/></joint></robot>'
    with pytest.raises(ValueError, match="joint 'j' is floating; expected fixed, revolute"):
        LinkFrames(urdf)


@pytest.mark.parametrize("name", ["dual_fr3_mujoco", "dual_aloha"])
def test_frames_by_kinematics_are_there_for_any_arms_once_all_their_joints_are_known(name):
    robot = RobotDescription.load(name)
    frames, joints = ArmFrames(robot), robot.home
    positions = dict(zip(robot.joint_names, joints[robot.channels], strict=True))
    found = {it.child: it for it in frames.at(positions)}
    last = len(robot.left.joint_names)
    assert {"left_link0", f"right_link{last}", "left_hand"} <= set(found) and f"left_link{last + 1}" not in found
    for side, pose in zip(("left", "right"), DualArmKinematics(robot).poses(joints), strict=True):
        assert found[f"{side}_tool"].pose == pytest.approx(pose) and found[f"{side}_tool"].parent == "world"
    positions.popitem()
    assert all("camera" in it.child or "optical" in it.child for it in frames.at(positions))


def test_frames_by_kinematics_put_wrist_cameras_where_the_urdf_has_them(frames):
    positions = dict(zip(ROBOT.joint_names, ROBOT.home, strict=True)) | FINGERS
    by_urdf, by_kinematics = frames.at(positions), ArmFrames(ROBOT).at(positions)
    for camera in ("head", "left_wrist", "right_wrist"):
        one, other = (np.array(in_the_world(it, f"{camera}_optical_frame")) for it in (by_urdf, by_kinematics))
        assert one[:3] == pytest.approx(other[:3], abs=1e-3) and abs(one[3:] @ other[3:]) == pytest.approx(
            1.0, abs=1e-3
        )
