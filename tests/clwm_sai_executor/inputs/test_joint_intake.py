"""What is said of joint states that are there and useless: topic, joint, value, what was expected, since when."""

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.inputs.joint_intake import PATIENCE, JointIntake

TOPIC, TIMEOUT, START = "/joint_states", 0.2, 1_700_000_000.0


@pytest.fixture
def names(robot):
    return [*robot.joint_names, *(arm.gripper.finger_joint for arm in robot.arms)]


@pytest.fixture
def intake(robot):
    made = JointIntake(robot, TIMEOUT)
    made.start(START)
    return made


def play(intake, names, seconds=2.0, start=START, stamp_of=lambda now: now - 0.001, positions=None, velocities=None):
    """Joint states at 100 Hz; how many measured the arms, and the instant after the last."""
    positions = [0.0] * len(names) if positions is None else positions
    velocities = [0.0] * len(names) if velocities is None else velocities
    instants = start + np.arange(0.01, seconds, 0.01)
    found = [intake.take(now, TOPIC, stamp_of(now), names, positions, velocities) for now in instants]
    return sum(arms is not None for arms in found), float(instants[-1])


def test_good_states_measure_the_arms_and_nothing_is_said(intake, names):
    count, now = play(intake, names)
    assert count > 190 and intake.problems(now) == [] == intake.warnings() and not intake.is_shared(TOPIC)


def changed(values, place, value):
    return [*values[:place], value, *values[place + 1 :]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stamp_of": lambda now: 0.0}, "its stamps are 0"),
        ({"stamp_of": lambda now: now - START + 5.0}, "another clock"),
        ({"stamp_of": lambda now: now + 0.5}, "0.50 s ahead of this clock; at most 0.2 s expected; synchronise"),
        ({"stamp_of": lambda now: now - 0.5}, "0.50 s old on arrival; at most 0.2 s expected"),
        ({"positions": changed([0.0] * 16, 3, float("nan"))}, "position of left_fr3_joint4 is nan; expected a finite"),
        ({"positions": [0.0] * 15}, "16 names, 15 positions and 16 velocities"),
        ({"velocities": [0.0] * 7}, "16 names, 16 positions and 7 velocities"),
    ],
)
def test_what_makes_states_useless_is_named_with_its_topic_and_since_when(intake, names, given, said):
    count, now = play(intake, names, **given)
    (problem,) = intake.problems(now)
    assert count == 0 and problem.startswith(f"{TOPIC} cannot be used for 2.0 s: ") and said in problem
    play(intake, names, 0.5, start=now)
    assert intake.problems(now + 0.5) == []


def test_stamps_that_stand_still_are_named(intake, names):
    _, now = play(intake, names, 0.1)
    count, now = play(intake, names, start=now, stamp_of=lambda _: START + 0.1)
    assert count == 1 and f"it repeats the stamp {START + 0.1:.3f} s" in intake.problem(now, TOPIC)


def test_states_without_velocities_are_used_and_that_is_a_warning(intake, names):
    count, now = play(intake, names, velocities=[float("nan")] * 16)
    assert count > 190 and intake.problems(now) == []
    (warning,) = intake.warnings()
    assert warning.startswith(TOPIC) and "is nan, so it is worked out from positions" in warning


def test_states_without_velocities_that_come_too_rarely_are_useless_and_that_is_said(intake, names):
    for step in range(10):
        now = START + 0.3 * step
        assert intake.take(now, TOPIC, now, names, [0.0] * 16, []) is None
    assert "cannot be worked out" in intake.problem(now, TOPIC)


def test_silence_is_told_from_a_topic_that_never_spoke(intake, names):
    assert intake.problems(START + PATIENCE) == []
    assert f"nothing on {TOPIC} for 3.0 s; start the driver" in intake.problem(START + 3.0, TOPIC)
    _, now = play(intake, names)
    assert f"{TOPIC} has been silent for 4.0 s" in intake.problem(now + 4.0, TOPIC)


def test_joints_that_a_topic_lacks_are_named_with_what_it_has(intake, names):
    count, now = play(intake, names[1:])
    assert count == 0
    problem = intake.problem(now, TOPIC)
    assert f"{TOPIC} lacks left_fr3_joint1 for 2.0 s; they have left_fr3_joint2, " in problem


def test_topic_of_strangers_only_is_said_to_lack_the_joints(intake, names):
    _, now = play(intake, ["torso", "neck"])
    assert "lacks left_fr3_joint1" in intake.problem(now, TOPIC) and "they have torso, neck" in intake.problem(
        now, TOPIC
    )


def test_hand_that_dies_on_a_shared_topic_is_named(intake, names):
    arms, hands = names[:14], names[14:]
    for step in range(100):
        now = START + 0.01 * step
        intake.take(now, TOPIC, now, arms, [0.0] * 14, [0.0] * 14)
        intake.take(now, TOPIC, now, hands, [0.01] * 2, [])  # with the stamp of the arms: one clock, two publishers
    assert intake.problems(now) == [] == intake.warnings() and intake.is_shared(TOPIC)
    for step in range(100, 400):
        now = START + 0.01 * step
        intake.take(now, TOPIC, now, arms, [0.0] * 14, [0.0] * 14)
    assert "s older than the arms" in intake.problem(now, TOPIC)


def test_one_of_two_arms_on_topics_of_their_own_is_named_alone():
    intake = JointIntake(RobotDescription.load("dual_fr3_franka"), TIMEOUT)
    intake.start(START)
    arm = [f"fr3_joint{number}" for number in range(1, 8)]
    for step in range(200):
        now = START + 0.01 * step
        intake.take(now, "/left/franka/joint_states", now, arm, [0.0] * 7, [0.0] * 7)
        intake.take(now, "/right/franka/joint_states", 0.0, arm, [0.0] * 7, [0.0] * 7)
    problems = intake.problems(now)
    assert not any("/left/franka/joint_states" in problem for problem in problems)
    assert any("/right/franka/joint_states cannot be used for 2.0 s: its stamps are 0" in each for each in problems)


def test_clock_that_is_set_back_begins_the_wait_anew(intake, names):
    play(intake, names)
    count, now = play(intake, names, start=START - 100.0)
    assert count > 190 and intake.problems(now) == []
    assert "silent for 3.0 s" in intake.problem(now + 3.0, TOPIC)
