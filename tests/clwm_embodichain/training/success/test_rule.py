"""What counts as called done wrongly, and as done and missed."""

import numpy as np
import pytest

from clwm_embodichain.training.success.rule import Counted, choose_threshold, counted


def course(says, truth):
    """One course at the chunks' cadence, with a look between two chunks that nobody acts on."""
    says, truth = np.repeat(says, 2).astype(float), np.repeat(truth, 2).astype(bool)
    says[1::2] = 1.0 - says[1::2]
    return says, truth


@pytest.mark.parametrize(
    ("says", "truth", "found"),
    [
        ([0, 1, 1, 0], [0, 1, 1, 0], Counted(0, 1, 0, 1)),  # in time
        ([1, 1, 0, 0], [0, 0, 1, 1], Counted(1, 1, 0, 1)),  # too early: the first call ends the course
        ([0, 0, 1, 1], [1, 1, 0, 0], Counted(1, 1, 0, 1)),  # when it was undone again
        ([0, 1, 0, 1], [1, 1, 1, 1], Counted(0, 1, 1, 1)),  # never two in a row
        ([0, 0, 0, 0], [0, 1, 0, 1], Counted(0, 1, 0, 0)),  # never there for long enough
        ([1, 1, 1, 1], [0, 0, 0, 0], Counted(1, 1, 0, 0)),
    ],
)
def test_a_course_is_counted_as_a_task_would_have_ended(says, truth, found):
    probability, holds = course(says, truth)
    assert counted(probability, holds, np.zeros(len(holds)), 0.5, 2) == found


def test_courses_are_counted_each_for_itself():
    probability, holds = course([0, 1, 1, 0], [0, 0, 0, 0])
    numbers = np.array([0, 0, 0, 0, 1, 1, 1, 1])  # of the two in a row, each course has one
    assert counted(probability, holds, numbers, 0.5, 2) == Counted(0, 2, 0, 0)


def test_the_threshold_is_the_lowest_that_is_wrong_seldom_enough():
    probability = np.repeat([0.7, 0.9], 8)
    holds, numbers = np.repeat([False, True], 8), np.repeat([0, 1], 8)
    assert choose_threshold(probability, holds, numbers, 2, 0.0) == pytest.approx(0.72)
    assert choose_threshold(probability, holds, numbers, 2, 0.5) == pytest.approx(0.5)
