"""What keys and the demonstration ask the arms for."""

import numpy as np
import pytest

from clwm_operator.teleop.motion import HELD, CircleHand, JointKeys, ToolKeys, turned


@pytest.fixture
def hand():
    return JointKeys(np.zeros(14), np.full(2, 0.04), np.full(2, 0.04))


def test_each_key_moves_its_joint_of_the_chosen_arm_and_the_one_below_moves_it_back(hand):
    for joint, (up, down) in enumerate(zip("qwertyu", "asdfghj", strict=True)):
        hand.press(0.0, up)
        assert np.flatnonzero(hand.wish).tolist() == [joint] and hand.wish[joint] > 0.0
        hand.press(0.0, down)
        assert not hand.wish.any()
    hand.press(0.0, "\t")
    hand.press(0.0, "q")
    assert np.flatnonzero(hand.wish).tolist() == [7]


def test_each_key_moves_or_turns_the_chosen_tool_along_one_axis_of_the_world_and_its_partner_moves_it_back():
    home = np.tile([0.4, 0.1, 0.5, 0.8, -0.6, 0.0, 0.0], (2, 1))
    hand = ToolKeys(home.copy(), np.zeros(2), np.zeros(2))
    for axis, (one, other) in enumerate(("ws", "ad", "rf")):
        hand.press(0.0, one)
        moved = hand.wish - home
        assert np.flatnonzero(moved).tolist() == [axis] and moved[0, axis] > 0.0
        hand.press(0.0, other)
        np.testing.assert_allclose(hand.wish, home, atol=1e-12)
    for axis, (one, other) in enumerate(("yh", "tg", "qe")):
        hand.press(0.0, one)
        np.testing.assert_allclose(hand.wish[0, 3:], turned(home[0, 3:], axis, 0.02))
        hand.press(0.0, other)
        np.testing.assert_allclose(hand.wish, home, atol=1e-12)
    hand.press(0.0, "\t")
    hand.press(0.0, "w")
    assert np.flatnonzero(hand.wish - home).tolist() == [7]


def test_turn_about_an_axis_of_the_world_composes_from_the_left():
    yawed = turned(np.array([1.0, 0.0, 0.0, 0.0]), 2, np.pi / 2.0)  # a tool that points down
    np.testing.assert_allclose(yawed, [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0], atol=1e-12)
    back = turned(turned(yawed, 1, 0.7), 1, -0.7)
    np.testing.assert_allclose(back, yawed, atol=1e-12)


@pytest.mark.parametrize("measured", [0.02, 0.04, 0.114])
def test_a_grippers_wish_leads_it_a_little_and_is_never_below_nothing(hand, measured):
    hand.measured_openings = np.array([measured, 0.04])
    for _ in range(20):
        hand.press(0.0, "o")
    assert hand.openings.tolist() == pytest.approx([measured + 0.03, 0.04])
    for _ in range(20):
        hand.press(0.0, "c")
    assert hand.openings[0] == pytest.approx(max(0.0, measured - 0.03))


def test_switch_is_held_by_any_key_and_only_for_a_while(hand):
    assert not hand.is_held(100.0)
    hand.press(100.0, " ")
    assert hand.is_held(100.0 + HELD) and not hand.is_held(100.1 + HELD)
    assert not hand.wish.any()


def test_circle_begins_and_ends_where_the_arms_are_and_leaves_neither_fast():
    hand = CircleHand(np.linspace(0.0, 1.0, 14), np.zeros(2), size=0.2, period=4.0, turns=2)
    instants = np.linspace(0.0, hand.duration, 801)
    path = np.array([hand.at(instant) for instant in instants])
    np.testing.assert_allclose(path[[0, -1]], [hand.joints] * 2, atol=1e-9)
    speed = np.abs(np.diff(path, axis=0)).max(axis=1) / np.diff(instants)
    assert speed[0] < 0.01 and speed[-1] < 0.01 and speed.max() < 0.6
    assert np.abs(path - hand.joints).max() > 0.2
