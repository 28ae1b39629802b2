"""What is said of pictures that are there and useless: which camera, which stamp, what was expected, since when."""

import numpy as np
import pytest

from clwm_perception.image_sets import SynchroniserConfig
from clwm_perception.picture_watch import AHEAD, PictureWatch

START, CAMERAS = 1_700_000_000.0, ("head", "left_wrist")


@pytest.fixture
def watch():
    made = PictureWatch(SynchroniserConfig(CAMERAS))
    made.start(START)
    return made


def play(watch, stamp_of, cameras=("head",), seconds=2.0, start=START):
    """Pictures at 20 Hz; how many may answer a request, and the last instant."""
    instants = start + np.arange(0.05, seconds + 0.01, 0.05)
    return sum(watch.hear(now, camera, stamp_of(now), (4, 4)) for now in instants for camera in cameras), instants[-1]


def test_good_pictures_are_used_and_nothing_is_said(watch):
    count, now = play(watch, lambda now: now - 0.01, CAMERAS)
    assert count == 2 * 40 and watch.problems(now) == [] == watch.changes()


@pytest.mark.parametrize(
    ("stamp_of", "said"),
    [
        (lambda now: 0.0, "its stamps are 0; let the driver stamp"),
        (lambda now: now - START + 40.0, "another clock, perhaps the time since the machine's start"),
        (lambda now: now + 0.09, "0.09 s ahead of this clock; at most 0.02 s expected; synchronise the clocks"),
        (lambda now: now + 0.4, "0.40 s ahead of this clock"),
    ],
)
def test_stamps_that_cannot_be_believed_are_named_and_such_pictures_answer_nothing(watch, stamp_of, said):
    count, now = play(watch, stamp_of)
    (problem, silent) = watch.problems(now)
    assert count == 0 and problem.startswith("pictures of 'head' cannot be used for 2.0 s: ") and said in problem
    assert silent.startswith("camera 'left_wrist' has sent no picture")
    play(watch, lambda now: now, CAMERAS, start=now)
    assert watch.problems(now + 2.0) == []


def test_stamps_that_are_all_alike_are_named(watch):
    count, now = play(watch, lambda now: START + 0.03)
    assert count == 1 and f"it repeats the stamp {START + 0.03:.3f} s" in watch.problem(now, "head")


def test_clocks_that_differ_by_as_little_as_synchronised_ones_are_believed(watch):
    count, now = play(watch, lambda now: now + 0.9 * AHEAD)
    assert count == 40 and watch.problem(now, "head") == ""


def test_late_pictures_are_of_their_instant_and_may_answer_but_that_is_told(watch):
    count, now = play(watch, lambda now: now - 0.4)
    assert count == 40
    assert "it is 0.40 s old on arrival; at most 0.2 s expected" in watch.problem(now, "head")


def test_camera_that_falls_silent_is_named_with_the_time(watch):
    assert watch.problems(START + 0.9) == []
    _, now = play(watch, lambda now: now)
    assert "camera 'left_wrist' has sent no picture for 2.0 s (none since the start)" in watch.problem(
        now, "left_wrist"
    )
    assert "camera 'head' has sent no picture for 3.0 s; check its driver" in watch.problem(now + 3.0, "head")


def test_nothing_is_said_before_cameras_are_expected():
    assert PictureWatch(SynchroniserConfig(CAMERAS)).problems(START) == []


def test_picture_that_is_too_large_names_size_limit_and_parameter(watch):
    for now in START + np.arange(0.1, 2.0, 0.05):
        watch.refuse_bytes(now, "head", "8226420 bytes; expected at most 8001024", 8_000_000)
    problem = watch.problem(now, "head")
    assert "'head'" in problem and "8226420 bytes; expected at most 8001024" in problem
    assert "raise perception's image_bytes (now 8000000)" in problem


def test_camera_that_changes_its_size_is_told_of(watch):
    watch.hear(START, "head", START, (480, 640))
    watch.hear(START + 0.05, "head", START + 0.05, (240, 320))
    assert watch.changes() == ["pictures of 'head' are 320 x 240 now, and were 640 x 480"]
