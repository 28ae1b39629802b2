"""Our kinematics against Pinocchio's, which the executor has no room for."""

import numpy as np
import pinocchio as pin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.actions import pack
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.scenes.workcell import arm_model

ROBOT = RobotDescription.load("dual_fr3_mujoco")
OURS = DualArmKinematics(ROBOT)
configurations = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(-np.pi, np.pi, 14))


class Reference:
    """One arm of Pinocchio's, with a frame for the tool, placed on either base."""

    def __init__(self):
        self.model = pin.buildModelFromUrdf(str(ROBOT.urdf_path()))
        flange = self.model.frames[self.model.getFrameId("link8")]
        hand = flange.placement * pin.SE3(pin.utils.rotate("z", -np.pi / 4), np.zeros(3))
        tool = hand * pin.SE3(np.eye(3), np.array([0.0, 0.0, 0.1034]))
        self.hand, self.tool = (
            self.model.addFrame(pin.Frame(name, flange.parentJoint, 0, placement, pin.FrameType.OP_FRAME))
            for name, placement in (("hand", hand), ("tool", tool))
        )
        self.data = self.model.createData()

    def arms(self, joints):
        """(base, frames of all links computed) of the left arm, then of the right one."""
        for index, arm in enumerate(ROBOT.arms):
            pin.framesForwardKinematics(self.model, self.data, joints[7 * index : 7 * index + 7])
            yield pin.SE3(pin.utils.rotate("z", arm.base_yaw), np.array(arm.base_position))


REFERENCE = Reference()


@given(configurations)
@settings(deadline=None)
def test_poses_are_those_of_pinocchio(joints):
    theirs = [pin.SE3ToXYZQUAT(base * REFERENCE.data.oMf[REFERENCE.tool]) for base in REFERENCE.arms(joints)]
    np.testing.assert_allclose(OURS.poses(joints), theirs, atol=1e-12)


@given(configurations)
@settings(deadline=None)
def test_frames_of_the_links_are_those_of_pinocchio(joints):
    theirs = [
        [(base * frame).homogeneous for frame in (*REFERENCE.data.oMi, REFERENCE.data.oMf[REFERENCE.hand])]
        for base in REFERENCE.arms(joints)
    ]
    np.testing.assert_allclose(OURS.link_frames(joints)[0], theirs, atol=1e-12)


@given(configurations)
@settings(deadline=None)
def test_jacobians_are_those_of_pinocchio(joints):
    for index, base in enumerate(REFERENCE.arms(joints)):
        theirs = pin.computeFrameJacobian(
            REFERENCE.model,
            REFERENCE.data,
            joints[7 * index : 7 * index + 7],
            REFERENCE.tool,
            pin.LOCAL_WORLD_ALIGNED,
        )
        turned = np.concatenate([base.rotation @ theirs[:3], base.rotation @ theirs[3:]])
        np.testing.assert_allclose(OURS.jacobians(joints)[index], turned, atol=1e-12)


def test_frames_of_many_configurations_are_those_of_each():
    many = np.random.default_rng(0).uniform(-2.0, 2.0, (5, 14))
    np.testing.assert_allclose(OURS.link_frames(many), [OURS.link_frames(one)[0] for one in many], atol=1e-14)


def test_row_is_what_pack_makes_of_the_poses():
    rng = np.random.default_rng(3)
    for _ in range(50):
        joints, openings = ROBOT.home + rng.uniform(-1.5, 1.5, 14), rng.uniform(0.0, 0.08, 2)
        np.testing.assert_allclose(OURS.row(joints, openings), pack(*OURS.poses(joints), joints, openings), atol=1e-6)


def test_robot_whose_urdf_is_missing_or_not_an_arm_is_refused(tmp_path):
    with pytest.raises(RobotError, match="does not exist; install franky-sim or set 'urdf'"):
        DualArmKinematics(ROBOT.model_copy(update={"urdf": str(tmp_path / "none.urdf")}))
    file = tmp_path / "short.urdf"
    file.write_text('<robot><joint name="j" type="revolute"><parent link="base"/><child link="link8"/></joint></robot>')
    with pytest.raises(RobotError, match="1 joints before 'link8', and robot 'dual_fr3_mujoco' names 7 joints"):
        DualArmKinematics(ROBOT.model_copy(update={"urdf": str(file)}))


def test_tool_centre_point_is_where_the_robots_file_says():
    longer = ROBOT.model_copy(update={"tool": ROBOT.tool.model_copy(update={"centre": ROBOT.tool.centre + 0.05})})
    usual, moved = (DualArmKinematics(one).poses(ROBOT.home)[:, :3] for one in (ROBOT, longer))
    np.testing.assert_allclose(np.linalg.norm(moved - usual, axis=1), 0.05)
    assert arm_model(longer.tool).site("tcp").pos[2] == ROBOT.tool.centre + 0.05
