import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_common.actions import LayoutError
from clwm_common.robot import RobotDescription
from clwm_sai_executor.joint_map import CLOCKS_MAY_DIFFER, JointMap

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


def test_absent_velocities_are_zero(robot):
    assert not JointMap(robot).measured(TOPIC, 0.0, names_of(robot), [1.0] * 16, []).velocities.any()


def test_missing_joint_is_named(robot):
    names = [name for name in names_of(robot) if name != "right_fr3_joint3"]
    with pytest.raises(LayoutError, match="lacks right_fr3_joint3"):
        JointMap(robot).measured(TOPIC, 0.0, names, [0.0] * 15, [])


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
    say(arms_apart, RIGHT, 1.1 if ahead == RIGHT_HAND else 11.0)
    with pytest.raises(LayoutError, match=rf"{ahead} is 9.9\d s ahead of the older arm; .* synchronise"):
        say(arms_apart, LEFT, 1.05)


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
    with pytest.raises(LayoutError, match="/right/franka/joint_states is 50.00 s ahead"):
        say(arms_apart, LEFT, 50.0)
    say(arms_apart, RIGHT, 50.01)
    assert say(arms_apart, LEFT, 50.02).stamp == 50.01


def test_a_missing_joint_is_named_with_its_topic(arms_apart):
    with pytest.raises(LayoutError, match=r"/right/franka/joint_states lacks fr3_joint7; it has fr3_joint1"):
        arms_apart.measured(RIGHT, 0.0, ARM[:6], [0.0] * 6, [])
