"""What a hand is told, and how that ends: by width and by force."""

import pytest

from clwm_franka.hand_goal import FORCE, Grasp, HandSeen, Move, command_for, ending_of

CLOSE = Grasp(0.02, 0.1, 20.0)


def test_a_hand_that_closes_grasps_with_the_force_asked_for_and_one_that_opens_is_moved():
    assert command_for(0.02, 30.0, opening=0.08, speed=0.1) == Grasp(0.02, 0.1, 30.0)
    assert command_for(0.02, 0.0, opening=0.08, speed=0.1) == Grasp(0.02, 0.1, FORCE)
    assert command_for(0.08, 30.0, opening=0.02, speed=0.1) == Move(0.08, 0.1)


def test_fingers_that_press_on_something_on_the_way_hold_it():
    ending = ending_of(CLOSE, HandSeen(0.041, is_grasped=True))
    assert ending.is_holding and not ending.problem and ending.width == 0.041


def test_a_grasp_on_nothing_is_reported():
    ending = ending_of(CLOSE, HandSeen(0.0201, is_grasped=True))
    assert not ending.is_holding and ending.note == "closed to 0.020 m on nothing"


def test_fingers_that_stop_without_force_hold_nothing():
    ending = ending_of(CLOSE, HandSeen(0.05, is_grasped=False))
    assert not ending.is_holding and "without pressing on anything; is the hand blocked, or homed?" in ending.problem


def test_a_hand_that_gives_up_says_why():
    assert ending_of(CLOSE, HandSeen(0.05, False), "command aborted").problem.endswith("0.050 m: command aborted")


@pytest.mark.parametrize("width", [0.0799, 0.0801])
def test_a_hand_that_is_open_has_done_what_it_was_told(width):
    ending = ending_of(Move(0.08, 0.1), HandSeen(width, False))
    assert not ending.problem and not ending.note


def test_a_hand_that_does_not_open_is_a_problem():
    assert "instead of 0.080 m; free it" in ending_of(Move(0.08, 0.1), HandSeen(0.03, False)).problem
