"""What a hand on a page asks of the arms."""

import numpy as np
import pytest
from pydantic import ValidationError

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_operator.teleop.jog import LARGEST_LEAD, LINEAR_SPEED, SILENCE, STALEST_SIGHT, DeadMan, Hand, Jog

HAND = Hand(dead_man=True, seen=0.0)


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load("dual_fr3_mujoco")


@pytest.fixture
def jog(robot):
    jog = Jog(robot)
    jog.begin(HAND, robot.home, np.array([0.04, 0.04]))
    return jog


def run(jog, hand, seconds, dt=0.02):
    """Arms that follow at once."""
    for _ in range(round(seconds / dt)):
        jog.step(dt, hand, jog.joints)


@pytest.mark.parametrize("arm", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_half_a_second_moves_the_tool_five_centimetres_along_the_axis_and_nothing_else(robot, jog, arm, axis, sign):
    kinematics = DualArmKinematics(robot)
    before = kinematics.poses(jog.joints)
    run(jog, Hand(dead_man=True, arm=arm, linear=tuple(sign * np.eye(3)[axis]), seen=0.0), 0.5)
    after = kinematics.poses(jog.joints)
    assert after[arm, :3] - before[arm, :3] == pytest.approx(sign * 0.5 * LINEAR_SPEED * np.eye(3)[axis], abs=0.004)
    assert np.abs(np.abs(after[arm, 3:]) - np.abs(before[arm, 3:])).max() < 0.01
    assert after[1 - arm] == pytest.approx(before[1 - arm])


def test_a_turn_keeps_the_tool_where_it_is(robot, jog):
    kinematics = DualArmKinematics(robot)
    before = kinematics.poses(jog.joints)
    run(jog, Hand(dead_man=True, angular=(0.0, 0.0, 1.0), seen=0.0), 0.4)
    after = kinematics.poses(jog.joints)
    assert after[0, :3] == pytest.approx(before[0, :3], abs=0.003)
    assert 2.0 * np.arccos(min(1.0, abs(after[0, 3:] @ before[0, 3:]))) == pytest.approx(0.2, abs=0.02)


def test_one_joint_moves_alone(jog, robot):
    run(jog, Hand(dead_man=True, arm=1, joint_number=6, joint=-1.0, seen=0.0), 0.5)
    moved = jog.joints - robot.home
    assert moved[13] == pytest.approx(-0.2) and np.abs(np.delete(moved, 13)).max() == 0.0


def test_a_gripper_opens_as_far_as_it_can(jog, robot):
    run(jog, Hand(dead_man=True, arm=0, opening=1.0, seen=0.0), 3.0)
    assert jog.openings == pytest.approx([robot.arms[0].gripper.opening_max, 0.04])


def test_the_wish_stays_within_the_limits_of_joints_and_of_their_speed(jog, robot):
    lower, upper, fastest = (robot.limit(name) for name in ("position_lower", "position_upper", "velocity"))
    for _ in range(600):
        before = jog.joints.copy()
        jog.step(0.02, Hand(dead_man=True, linear=(1.0, 1.0, 1.0), angular=(1.0, -1.0, 1.0), seen=0.0), jog.joints)
        assert (np.abs(jog.joints - before) <= 0.5 * fastest * 0.02 + 1e-9).all()
    assert (jog.joints >= lower).all() and (jog.joints <= upper).all()


def test_arms_that_are_held_up_are_not_run_away_from(jog, robot):
    for _ in range(500):
        jog.step(0.02, Hand(dead_man=True, joint_number=0, joint=1.0, seen=0.0), robot.home)
    assert np.abs(jog.joints - robot.home).max() <= LARGEST_LEAD
    for _ in range(20):  # the way back is free at once
        jog.step(0.02, Hand(dead_man=True, joint_number=0, joint=-1.0, seen=0.0), robot.home)
    assert jog.joints[0] < robot.home[0] + LARGEST_LEAD - 0.1


def test_a_step_that_comes_late_counts_for_a_tenth_of_a_second_at_most(jog, robot):
    jog.step(30.0, Hand(dead_man=True, joint=1.0, seen=0.0), robot.home)
    assert np.abs(jog.joints - robot.home).max() == pytest.approx(0.04)


def test_the_switch_is_held_while_fresh_words_of_a_page_that_sees_say_so():
    switch = DeadMan()
    assert switch.held(0.0) is None
    switch.hear(10.0, Hand(dead_man=True, seen=9.9))
    assert switch.held(10.0 + SILENCE) is not None
    assert switch.held(10.0 + SILENCE + 0.01) is None  # silence: the page is hidden, or the connection stalls


def test_words_of_a_page_that_sees_old_states_hold_nothing():
    """A connection that has stalled delivers late what was said before."""
    switch = DeadMan()
    switch.hear(10.0, Hand(dead_man=True, seen=10.0 - STALEST_SIGHT - 0.01))
    assert switch.held(10.0) is None
    switch.hear(10.0, Hand(dead_man=True, seen=11.0))  # a state that was never sent
    assert switch.held(10.0) is None


def test_a_word_of_release_counts_at_once():
    switch = DeadMan()
    switch.hear(10.0, Hand(dead_man=True, seen=10.0))
    switch.hear(10.01, Hand(dead_man=False, seen=10.0))
    assert switch.held(10.01) is None


@pytest.mark.parametrize(
    "word",
    [
        {"dead_man": True},
        {"dead_man": True, "seen": float("nan")},
        {"dead_man": True, "seen": 0.0, "arm": 2},
        {"dead_man": True, "seen": 0.0, "joint": 1.5},
        {"dead_man": True, "seen": 0.0, "joint_number": 7},
        {"dead_man": True, "seen": 0.0, "linear": [0.0, 0.0]},
        {"dead_man": True, "seen": 0.0, "linear": [0.0, 0.0, float("inf")]},
        {"dead_man": True, "seen": 0.0, "angular": [0.0, 0.0, 3.0]},
        {"dead_man": True, "seen": 0.0, "mode": 0},
    ],
)
def test_a_word_that_is_not_one_is_refused(word):
    with pytest.raises(ValidationError):
        Hand.model_validate(word)


def test_a_joint_that_six_joint_arms_do_not_have_asks_for_nothing_and_holds_up_no_other():
    aloha = RobotDescription.load("dual_aloha")
    jog = Jog(aloha)
    jog.begin(HAND, aloha.home, np.array([0.1, 0.1]))
    run(jog, Hand(dead_man=True, arm=1, joint=1.0, joint_number=6, seen=0.0), 0.5)
    np.testing.assert_array_equal(jog.joints, aloha.home)
    run(jog, Hand(dead_man=True, arm=1, joint=1.0, joint_number=5, seen=0.0), 0.5)
    assert np.flatnonzero(jog.joints != aloha.home).tolist() == [12]
