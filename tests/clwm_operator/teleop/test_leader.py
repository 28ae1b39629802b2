"""What a leader's joints ask of the arms that follow."""

import math

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_operator.teleop.joy import DeviceError
from clwm_operator.teleop.leader import BLEND, LeaderReader, LeaderWish, LeaderWord
from clwm_operator.teleop.mapping import LeaderMapping

ROBOT = RobotDescription.load("dual_fr3_mujoco")
HOME, OPENINGS = ROBOT.home, np.array([0.04, 0.04])
NAMES = ROBOT.joint_names


def word(joints, openings=(math.nan, math.nan)):
    return LeaderWord(True, 0.0, np.asarray(joints, dtype=float), np.array(openings))


def off(**by):
    """Home, but for some joints of the left arm: j4=0.2."""
    joints = HOME.copy()
    for name, value in by.items():
        joints[int(name[1:]) - 1] += value
    return joints


def wish(is_relative=False):
    return LeaderWish(ROBOT, 0.1, is_relative)


def test_joints_are_found_by_name_turned_and_shifted_as_the_mapping_says():
    mapping = LeaderMapping.model_validate(
        {
            "right": {
                "joints": list("abcdefg"),
                "signs": [1, -1, 1, 1, 1, 1, 1],
                "offsets": [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
                "gripper": {"joint": "trigger", "closed": 0.6, "opened": 0.0},
            }
        }
    )
    positions = dict(zip("gfedcba", [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], strict=True)) | {"trigger": 0.3, "other": 9.0}
    joints, openings = LeaderReader(mapping, ROBOT).read(list(positions), list(positions.values()))
    assert np.isnan(joints[:7]).all() and joints[7:].tolist() == [1.0, -2.0, 4.0, 4.0, 5.0, 6.0, 7.0]
    assert math.isnan(openings[0]) and openings[1] == pytest.approx(ROBOT.right.gripper.opening_max / 2)


@pytest.mark.parametrize(
    ("names", "positions", "said"),
    [
        (NAMES[:-1], [0.0] * 13, "no joint 'right_fr3_joint7'"),
        ([], [], "it has none"),
        (NAMES, [0.0] * 13, "14 names and 13 positions"),
        (NAMES, [math.nan] * 14, "joint 'left_fr3_joint1' of the leader is nan"),
        (NAMES, [math.inf] * 14, "is inf"),
    ],
)
def test_messages_that_lack_something_are_refused_with_the_joint(names, positions, said):
    reader = LeaderReader(LeaderMapping(left={}, right={}), ROBOT)
    with pytest.raises(DeviceError, match=said):
        reader.read(names, positions)


def test_a_leader_elsewhere_is_told_how_far_each_joint_is_and_refused():
    far = word(off(j4=0.35, j2=-0.2, j1=0.05))
    said = wish().obstacle(far, HOME)
    assert "left_fr3_joint4 +0.35, left_fr3_joint2 -0.20 rad" in said and "joint1" not in said
    assert next(iter(wish().distances(far, HOME).items())) == ("left_fr3_joint4", pytest.approx(0.35))
    assert len(wish().distances(far, HOME)) == 14


@pytest.mark.parametrize("joint", range(14))
def test_every_joint_counts_for_the_tolerance(joint):
    joints = HOME.copy()
    joints[joint] -= 0.11
    assert wish().obstacle(word(joints), HOME)
    joints[joint] += 0.02
    assert not wish().obstacle(word(joints), HOME)


def test_relatively_it_may_be_anywhere_and_moves_the_arms_by_what_it_moves():
    it = wish(is_relative=True)
    far = off(j4=0.8)
    assert not it.obstacle(word(far), HOME) and not it.distances(word(far), HOME)["left_fr3_joint4"] < 0.8
    it.begin(word(far), HOME, OPENINGS)
    for _ in range(200):
        it.step(0.02, word(far + 0.05), HOME)
    assert it.joints == pytest.approx(HOME + 0.05) and it.openings == pytest.approx(OPENINGS)


def test_what_is_left_over_is_made_up_for_evenly():
    it = wish()
    near = word(off(j4=0.1))
    it.begin(near, HOME, OPENINGS)
    ways = []
    for _ in range(round(BLEND / 0.02) + 10):
        before = it.joints[3]
        it.step(0.02, near, HOME)
        ways.append(it.joints[3] - before)
    assert it.joints == pytest.approx(near.joints) and max(ways) == pytest.approx(0.1 * 0.02 / BLEND)


def test_an_arm_that_is_not_led_stays_and_a_gripper_follows_its_trigger():
    it = wish()
    led = np.append(HOME[:7], np.full(7, np.nan))
    it.begin(word(led, (0.08, math.nan)), HOME, OPENINGS)
    for _ in range(100):
        it.step(0.02, word(led + 0.2, (0.08, math.nan)), HOME)
    assert it.joints[7:].tolist() == HOME[7:].tolist() and it.joints[:7] == pytest.approx(HOME[:7] + 0.2)
    assert it.openings == pytest.approx([0.08, 0.04])


def test_a_leader_beyond_the_limits_leads_to_the_limits():
    it = wish()
    it.begin(word(HOME, OPENINGS), HOME, OPENINGS)
    it.step(2.0, word(np.full(14, 9.0), (9.0, -9.0)), HOME)
    assert it.joints == pytest.approx(ROBOT.limit("position_upper"))
    assert it.openings == pytest.approx([ROBOT.left.gripper.opening_max, ROBOT.right.gripper.opening_min])


def test_arms_of_six_joints_are_led_by_six():
    aloha = RobotDescription.load("dual_aloha")
    joints, _ = LeaderReader(LeaderMapping(left={}, right={}), aloha).read(aloha.joint_names, [0.0] * 12)
    it = LeaderWish(aloha, 0.1, False)
    assert len(it.distances(word(joints), aloha.home)) == 12 and np.isnan(joints[[6, 13]]).all()
    it.begin(word(joints), aloha.home, OPENINGS)
    it.step(2.0, word(joints), aloha.home)
    assert np.isfinite(it.joints).all() and it.joints[aloha.channels] == pytest.approx(0.0)
