"""The reason of a failure, from made-up courses of an episode."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_evaluation.suites.failures import Course
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.goals.recall_side import RecallSide
from clwm_sim.registry import goals_in
from clwm_sim.scenes import blocks, cue
from clwm_sim.situation import Situation

AWAY = np.array([[0.3, 0.5, 0.4], [0.3, -0.5, 0.4]])
OPEN, SHUT = np.full(2, 0.08), np.full(2, 0.03)


@pytest.fixture
def layout():
    return blocks.draw(np.random.default_rng(3))


@pytest.fixture
def goal(layout):
    return next(goal for goal in goals_in("blocks", layout) if goal.kind == "place")


def start(layout):
    return Situation.at_start(layout, AWAY, OPEN)


def carried(layout, name, height=0.1, is_held=True):
    """The block is lifted, in the left hand or out of it."""
    before = start(layout)
    state = replace(before.objects[name], position=before.objects[name].position + [0.0, 0.0, height])
    tcp = np.array([state.position, AWAY[1]])
    hands = {"tcp": tcp, "widths": SHUT} if is_held else {}
    return replace(before, objects={**before.objects, name: state}, **hands)


def reason(layout, goal, *situations, is_lost=False, fault="", others=()):
    course = Course(goal, layout, start(layout))
    for situation in situations:
        course.look(situation)
    return course.reason(is_lost, fault, others)


def other_block(layout, goal):
    return next(thing.name for thing in layout.of_kind("block") if thing.name != goal.block.name)


def test_hands_that_never_took_it_never_grasped(layout, goal):
    assert reason(layout, goal, start(layout)) == "never grasped"


def test_closing_beside_it_or_around_it_without_moving_it_is_no_grasp(layout, goal):
    still = start(layout)
    around = replace(still, tcp=np.array([still.objects[goal.block.name].position, AWAY[1]]), widths=SHUT)
    pushed = carried(layout, goal.block.name, is_held=False)
    assert reason(layout, goal, around) == reason(layout, goal, pushed) == "never grasped"


def test_what_was_held_and_is_no_more_was_dropped(layout, goal):
    assert reason(layout, goal, carried(layout, goal.block.name), start(layout)) == "dropped"
    assert reason(layout, goal, carried(layout, goal.block.name), is_lost=True) == "dropped"


def test_what_is_still_held_when_the_time_is_over_timed_out(layout, goal):
    assert reason(layout, goal, carried(layout, goal.block.name)) == "timed out"


def test_another_block_in_the_hand_or_another_goal_is_the_wrong_object(layout, goal):
    assert reason(layout, goal, carried(layout, other_block(layout, goal))) == "wrong object"
    assert reason(layout, goal, carried(layout, goal.block.name), others=["stack:red:blue"]) == "wrong object"


def test_an_executor_that_stopped_refused_a_chunk(layout, goal):
    assert reason(layout, goal, carried(layout, goal.block.name), fault="chunk 3 is not finite") == "refused chunk"


def test_arms_that_were_to_keep_still_moved(layout):
    (still,) = KeepStill.offered(layout)
    assert reason(layout, still, is_lost=True) == "moved"


def test_a_choice_is_wrong_or_was_not_made():
    layout = cue.draw(np.random.default_rng(0))
    (recall,) = RecallSide.offered(layout)
    assert reason(layout, recall, is_lost=True) == "wrong hand"
    assert reason(layout, recall) == "never reached"
