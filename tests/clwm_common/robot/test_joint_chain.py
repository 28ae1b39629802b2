"""A chain of joints from a URDF: what is fixed is folded in, and what cannot be a chain is refused."""

import numpy as np
import pytest

from clwm_common.robot.joint_chain import ChainError, JointChain, placement, position_and_quaternion

ELBOW_OF = """<robot name="elbow">
  <joint name="foot" type="fixed"><parent link="floor"/><child link="base"/><origin xyz="0 0 1"/></joint>
  <joint name="side" type="fixed"><parent link="base"/><child link="camera"/><origin xyz="9 9 9"/></joint>
  <joint name="lift" type="{type}"><parent link="base"/><child link="arm"/><axis xyz="0 -2 0"/></joint>
  <joint name="tip" type="fixed"><parent link="arm"/><child link="tip"/><origin xyz="2 0 0" rpy="0 0 1.5"/></joint>
</robot>"""
ELBOW = ELBOW_OF.format(type="revolute")


def chain(tmp_path, text, tip="tip"):
    file = tmp_path / "robot.urdf"
    file.write_text(text)
    return JointChain.from_urdf(file, tip)


def test_fixed_joints_belong_to_the_next_joint_or_the_end(tmp_path):
    elbow = chain(tmp_path, ELBOW)
    assert len(elbow) == 1
    np.testing.assert_allclose(elbow.placements[0], placement(np.array([0.0, 0.0, 1.0]), np.zeros(3)))
    np.testing.assert_allclose(elbow.end, placement(np.array([2.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.5])))


def test_joint_turns_about_its_own_axis_whatever_its_length(tmp_path):
    constant, cosine, sine = chain(tmp_path, ELBOW).turning()
    angle = 0.3
    carried = (constant + np.cos(angle) * cosine + np.sin(angle) * sine)[0]
    np.testing.assert_allclose(carried, placement(np.array([0.0, 0.0, 1.0]), np.array([0.0, -angle, 0.0])), atol=1e-15)


@pytest.mark.parametrize(
    ("text", "tip", "reason"),
    [
        (ELBOW_OF.format(type="prismatic"), "tip", "joint 'lift' is prismatic; expected revolute or fixed"),
        (ELBOW, "hand", "no joint to a link 'hand'; it has links base, camera, arm, tip"),
        ("<robot>", "tip", "is not XML"),
        (
            '<robot><joint name="a" type="fixed"><parent link="tip"/><child link="tip"/></joint></robot>',
            "tip",
            "link 'tip' is its own ancestor",
        ),
    ],
)
def test_what_is_no_chain_is_refused_in_words(tmp_path, text, tip, reason):
    with pytest.raises(ChainError, match=reason):
        chain(tmp_path, text, tip)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("angle", [0.0, 1.0, np.pi, -np.pi + 1e-9])
def test_quaternion_is_accurate_up_to_half_a_turn(axis, angle):
    turns = np.zeros(3)
    turns[axis] = angle
    pose = position_and_quaternion(placement(np.array([1.0, 2.0, 3.0]), turns))
    expected = np.zeros(4)
    expected[axis], expected[3] = np.sin(angle / 2.0), np.cos(angle / 2.0)
    assert pose[:3] == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(abs(np.dot(pose[3:], expected)), 1.0, atol=1e-15)
