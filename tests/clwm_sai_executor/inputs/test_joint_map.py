import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.actions import LayoutError
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.inputs.joint_map import CLOCKS_MAY_DIFFER, JointMap

TOPIC = "/joint_states"


def names_of(robot):
    return [*robot.joint_names, robot.left.gripper.finger_joint, robot.right.gripper.finger_joint]


def test_joints_are_found_in_any_order_among_strangers(robot):
    names = names_of(robot)
    shuffled = ["torso", *reversed(names)]
    values = {name: float(index) for index, name in enumerate(names)} | {"torso": 99.0}
    arms = JointMap(robot).measured(TOPIC, 5.0, shuffled, [values[n] for n in shuffled], [values[n] for n in shuffled])
    np.testing.assert_array_equal(arms.positions, np.arange(14.0))
    np.testing.assert_array_equal(arms.velocities, np.arange(14.0))
    np.testing.assert_array_equal(arms.widths, [28.0, 30.0])
    assert arms.stamp == 5.0


def test_message_without_some_joints_measures_nothing_until_others_have_said_them(robot):
    joint_map, names = JointMap(robot), names_of(robot)
    joint_map.measured(TOPIC, 0.0, names, [0.0] * 16, [0.0] * 16)
    assert joint_map.measured(TOPIC, 0.01, names[1:], [0.0] * 15, [0.0] * 15) is None
    assert joint_map.measured(TOPIC, 0.02, names[:1], [1.0], [0.0]).stamp == 0.01


def test_joint_that_is_named_twice_is_refused(robot):
    names = names_of(robot)
    with pytest.raises(LayoutError, match="names left_fr3_joint1 twice"):
        JointMap(robot).measured(TOPIC, 0.0, [*names, names[0]], [0.0] * 17, [])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 13, 15])
def test_position_that_is_not_finite_is_refused_by_the_joints_name(robot, value, place):
    positions = [0.0] * 16
    positions[place] = value
    with pytest.raises(LayoutError, match=rf"position of {names_of(robot)[place]} is {value}; expected a finite"):
        JointMap(robot).measured(TOPIC, 0.0, names_of(robot), positions, [0.0] * 16)


def test_a_strangers_position_may_be_anything(robot):
    names, values = ["torso", *names_of(robot)], [float("nan"), *[0.5] * 16]
    assert JointMap(robot).measured(TOPIC, 0.0, names, values, values).positions[0] == 0.5


NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], r"velocity of left_fr3_joint1 \(and of 13 more joints\) is nan"),
        ([NAN] * 16, r"velocity of left_fr3_joint1 \(and of 13 more joints\) is nan"),
        ([0.5] * 3 + [NAN] + [0.5] * 12, "velocity of left_fr3_joint4 is nan"),
        ([0.5] * 13 + [float("inf"), 0.5, 0.5], "velocity of right_fr3_joint7 is inf"),
    ],
)
def test_velocities_that_a_driver_lacks_are_worked_out_from_positions_and_that_is_said(robot, given, said):
    joint_map = JointMap(robot)
    for step in range(20):
        arms = joint_map.measured(TOPIC, 1.0 + 0.01 * step, names_of(robot), [0.005 * step] * 16, given)
        assert (arms is None) == (step == 0)
    np.testing.assert_allclose(arms.velocities, 0.5, rtol=1e-6)
    assert re.search(said, joint_map.estimated(TOPIC)) and "worked out from positions" in joint_map.estimated(TOPIC)
    joint_map.measured(TOPIC, 2.0, names_of(robot), [0.1] * 16, [0.0] * 16)
    assert joint_map.estimated(TOPIC) == ""


def test_effort_and_finger_velocities_that_are_not_numbers_are_no_matter(robot):
    joint_map = JointMap(robot)
    arms = joint_map.measured(TOPIC, 1.0, names_of(robot), [0.0] * 16, [0.1] * 14 + [NAN, NAN])
    assert arms is not None and joint_map.estimated(TOPIC) == ""


def test_arms_that_were_put_elsewhere_have_no_velocity_from_it(robot):
    joint_map = JointMap(robot)
    for step in range(5):
        joint_map.measured(TOPIC, 1.0 + 0.01 * step, names_of(robot), [0.0] * 16, [])
    assert joint_map.measured(TOPIC, 1.05, names_of(robot), [1.0] * 16, []) is None
    assert "cannot be worked out" in joint_map.unknown
    arms = joint_map.measured(TOPIC, 1.06, names_of(robot), [1.0] * 16, [])
    assert arms.positions[0] == 1.0 and not arms.velocities.any()


def test_an_arm_and_its_hand_that_take_turns_on_one_topic_are_one_robot(robot):
    joint_map, names = JointMap(robot), names_of(robot)
    arms_say, hands_say = names[:14], names[14:]
    found = []
    for step in range(10):
        found.append(joint_map.measured(TOPIC, 1.0 + 0.01 * step, arms_say, [0.1 * step] * 14, [0.0] * 14))
        found.append(joint_map.measured(TOPIC, 1.005 + 0.01 * step, hands_say, [0.01] * 2, [0.0] * 2))
    assert joint_map.is_shared(TOPIC)
    stamps = [arms.stamp for arms in found if arms is not None]
    np.testing.assert_allclose(stamps, 1.0 + 0.01 * np.arange(10))


def test_lengths_that_differ_are_refused_also_after_a_good_message(robot):
    joint_map = JointMap(robot)
    joint_map.measured(TOPIC, 0.0, names_of(robot), [0.0] * 16, [])
    with pytest.raises(LayoutError, match="16 names, 15 positions"):
        joint_map.measured(TOPIC, 0.0, names_of(robot), [0.0] * 15, [])


@pytest.fixture
def arms_apart():
    """Joint map of two arms in namespaces of their own, grippers too, with joints of the same names."""
    return JointMap(RobotDescription.load("dual_fr3_franka"))


ARM, FINGER = [f"fr3_joint{number}" for number in range(1, 8)], ["fr3_finger_joint1"]
LEFT, LEFT_HAND, RIGHT, RIGHT_HAND = (
    f"/{side}/{name}/joint_states" for side in ("left", "right") for name in ("franka", "franka_gripper")
)


def say(joint_map, topic, stamp, value=0.0):
    names = FINGER if "gripper" in topic else ARM
    return joint_map.measured(topic, stamp, names, [value] * len(names), [value] * len(names))


def test_arms_with_topics_of_their_own_are_measured_when_all_have_spoken(arms_apart):
    assert arms_apart.topics == [LEFT, LEFT_HAND, RIGHT, RIGHT_HAND]
    assert [say(arms_apart, topic, 1.0, value) for topic, value in ((LEFT, 1.0), (LEFT_HAND, 0.01), (RIGHT, 2.0))] == [
        None
    ] * 3
    arms = say(arms_apart, RIGHT_HAND, 1.0, 0.03)
    np.testing.assert_array_equal(arms.positions, [1.0] * 7 + [2.0] * 7)
    np.testing.assert_array_equal(arms.velocities, [1.0] * 7 + [2.0] * 7)
    np.testing.assert_allclose(arms.widths, [0.02, 0.06])


def test_arms_are_as_old_as_the_older_one(arms_apart):
    for topic in (LEFT_HAND, RIGHT_HAND, RIGHT, LEFT):
        arms = say(arms_apart, topic, 1.0)
    assert arms.stamp == 1.0
    # The right arm is silent: whatever the left one says, nothing new is known of both.
    assert [say(arms_apart, LEFT, 1.0 + 0.01 * step) for step in range(1, 30)] == [None] * 29
    arms = say(arms_apart, RIGHT, 1.30, 5.0)
    assert arms.stamp == 1.29 and arms.positions[7:].tolist() == [5.0] * 7


@pytest.mark.parametrize("ahead", [RIGHT, RIGHT_HAND])
def test_a_topic_whose_clock_runs_ahead_cannot_hide_its_silence(arms_apart, ahead):
    for topic in (LEFT_HAND, RIGHT_HAND, RIGHT, LEFT):
        say(arms_apart, topic, 1.0)
    say(arms_apart, ahead, 11.0)
    say(arms_apart, RIGHT, 1.1 if ahead == RIGHT_HAND else 11.01)
    with pytest.raises(LayoutError, match=rf"{ahead} is 9.9\d s ahead of the older arm; .* synchronise"):
        say(arms_apart, LEFT, 1.05)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([LEFT, RIGHT]), st.floats(0.0, 3.0)), min_size=1, max_size=60))
def test_arms_are_never_taken_for_newer_than_either_has_said(said):
    joint_map, last = JointMap(RobotDescription.load("dual_fr3_franka")), {}
    for hand in (LEFT_HAND, RIGHT_HAND):
        say(joint_map, hand, 1.5)
    for topic, stamp in said:
        last[topic] = stamp
        try:
            arms = say(joint_map, topic, stamp, stamp)
        except LayoutError:
            continue
        if arms is not None:
            assert arms.stamp == min(last.values()) and len(last) == 2
            assert arms.positions[0] == last[LEFT] and arms.positions[7] == last[RIGHT]
            assert max(last.values()) - arms.stamp <= CLOCKS_MAY_DIFFER + 1e-9


def test_fingers_may_lag_behind_the_arms_but_not_for_long(arms_apart):
    for topic in (LEFT_HAND, RIGHT_HAND, RIGHT, LEFT):
        say(arms_apart, topic, 1.0)
    say(arms_apart, LEFT, 1.9)
    assert say(arms_apart, RIGHT, 1.9).stamp == 1.9
    say(arms_apart, LEFT_HAND, 2.5)
    say(arms_apart, LEFT, 2.5)
    with pytest.raises(LayoutError, match=r"/right/franka_gripper/joint_states is 1.50 s older than the arms"):
        say(arms_apart, RIGHT, 2.5)
    say(arms_apart, RIGHT_HAND, 2.6)
    say(arms_apart, LEFT, 2.6)
    assert say(arms_apart, RIGHT, 2.6).stamp == 2.6


def test_stamps_that_go_back_are_handed_on_for_the_watch_to_judge_once_all_have_gone_back(arms_apart):
    for topic in (LEFT_HAND, RIGHT_HAND, RIGHT, LEFT):
        say(arms_apart, topic, 100.0)
    for topic in (LEFT_HAND, RIGHT_HAND):
        say(arms_apart, topic, 50.0)
    assert say(arms_apart, LEFT, 50.0) is None
    assert say(arms_apart, RIGHT, 50.01).stamp == 50.0
