"""The synchroniser: which set answers a request, whatever the order of pictures, and what it says when none can."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_perception.image_sets import CLOCK_RESTART, Synchroniser, SynchroniserConfig

CAMERAS = ("head", "left_wrist", "right_wrist")
PERIOD = 0.05
CONFIG = SynchroniserConfig(CAMERAS, frame_period=PERIOD, skew_limit=0.02, silent_after=1.0, depth=6)


def _feed(synchroniser, stamp, cameras=CAMERAS):
    """One picture of each camera, whose content is its name and stamp; the answers."""
    answers = [synchroniser.add(camera, stamp, (camera, stamp)) for camera in cameras]
    return [answer for answer in answers if answer is not None]


def test_a_request_for_the_past_gets_the_nearest_set_at_once():
    synchroniser = Synchroniser(CONFIG)
    for step in range(4):
        _feed(synchroniser, 1.0 + step * PERIOD)
    answer = synchroniser.request(7, 1.06)
    assert answer.chunk_id == 7 and answer.images.stamp == pytest.approx(1.05)
    assert [camera for camera, _ in answer.images.pictures] == list(CAMERAS)


def test_a_request_for_the_future_waits_for_its_set_and_not_longer():
    synchroniser = Synchroniser(CONFIG)
    _feed(synchroniser, 1.0)
    assert synchroniser.request(1, 1.15) is None
    assert _feed(synchroniser, 1.05) == _feed(synchroniser, 1.10) == []
    (answer,) = _feed(synchroniser, 1.15)
    assert answer.images.stamp == 1.15 and not synchroniser.is_waiting


def test_when_the_wanted_frame_was_lost_the_next_set_answers():
    synchroniser = Synchroniser(CONFIG)
    _feed(synchroniser, 1.0)
    assert synchroniser.request(1, 1.05) is None
    (answer,) = _feed(synchroniser, 1.10)
    assert answer.images.stamp == 1.10


def test_a_request_whose_picture_was_of_no_use_is_answered_by_another_set():
    synchroniser = Synchroniser(CONFIG)
    _feed(synchroniser, 1.0)
    answer = synchroniser.request(7, 1.0)
    assert synchroniser.without(answer, "left_wrist") is None and synchroniser.is_waiting
    (answer,) = _feed(synchroniser, 1.05)
    assert (answer.chunk_id, answer.observe_at, answer.images.stamps[1]) == (7, 1.0, 1.05)


def test_a_picture_of_no_use_leaves_a_set_with_the_cameras_other_pictures_of_that_instant():
    synchroniser = Synchroniser(CONFIG)
    synchroniser.add("left_wrist", 1.01, "l")
    _feed(synchroniser, 1.0)
    answer = synchroniser.request(7, 1.0)
    assert answer.images.stamps == (1.0, 1.0, 1.0)
    assert synchroniser.without(answer, "left_wrist").images.stamps == (1.0, 1.01, 1.0)


def test_a_set_is_not_made_across_the_skew_limit():
    synchroniser = Synchroniser(CONFIG)
    synchroniser.request(1, 1.0)
    assert synchroniser.add("head", 1.0, "h") is None
    assert synchroniser.add("left_wrist", 1.03, "l") is None
    assert synchroniser.add("right_wrist", 1.0, "r") is None
    assert "skew_limit" in synchroniser.diagnose()
    answer = synchroniser.add("left_wrist", 1.015, "l")
    assert answer.images.stamps == (1.0, 1.015, 1.0) and answer.images.stamp == 1.0


def test_a_newer_request_replaces_the_waiting_one():
    synchroniser = Synchroniser(CONFIG)
    synchroniser.request(1, 1.0)
    synchroniser.request(2, 1.05)
    assert [answer.chunk_id for step in range(3) for answer in _feed(synchroniser, 1.0 + step * PERIOD)] == [2]


def test_only_pictures_from_half_a_period_before_a_waiting_request_on_may_answer_it():
    synchroniser = Synchroniser(CONFIG)
    assert not synchroniser.may_answer(100.0)
    synchroniser.request(1, 100.0)
    early = 100.0 - CONFIG.frame_period / 2.0
    assert synchroniser.may_answer(early) and synchroniser.may_answer(101.0)
    assert not synchroniser.may_answer(early - 0.001)
    _feed(synchroniser, 100.0)
    assert not synchroniser.may_answer(100.0)


def test_a_clock_set_back_forgets_the_future():
    synchroniser = Synchroniser(CONFIG)
    _feed(synchroniser, 100.0)
    synchroniser.request(1, 100.5)
    back = 100.0 - CLOCK_RESTART - 1.0
    assert _feed(synchroniser, back) == []
    assert synchroniser.request(2, back).images.stamp == back


def test_an_unknown_camera_and_senseless_settings_are_refused():
    with pytest.raises(ValueError, match="'chest' is unknown"):
        Synchroniser(CONFIG).add("chest", 0.0, None)
    for wrong in (
        {"cameras": ()},
        {"cameras": ("a", "a")},
        {"depth": 1},
        {"skew_limit": 0.0},
        {"frame_period": float("nan")},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SynchroniserConfig(**({"cameras": CAMERAS} | wrong))


# Pictures of a few frames, some lost, some twice, in any order, with stamps that jitter by a few ms.
_PICTURES = st.lists(
    st.tuples(st.sampled_from(CAMERAS), st.integers(0, 12), st.integers(-4, 4)).map(
        lambda drawn: (drawn[0], 10.0 + drawn[1] * PERIOD + drawn[2] * 1e-3)
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(pictures=_PICTURES, observe_at=st.floats(9.8, 10.8), when=st.integers(0, 60))
def test_every_answer_is_a_true_set_and_the_best_that_was_known(pictures, observe_at, when):
    synchroniser = Synchroniser(CONFIG)
    answer = None
    for index, (camera, stamp) in enumerate([*pictures, ("head", 10.0)]):
        if index == min(when, len(pictures)):
            answer = synchroniser.request(1, observe_at)
        got = synchroniser.add(camera, stamp, (camera, stamp)) if answer is None else None
        answer = answer or got
        known = synchroniser.sets()
        if answer is not None:
            break
        near = [images for images in known if abs(images.stamp - observe_at) <= PERIOD / 2 or images.stamp > observe_at]
        assert not synchroniser.is_waiting or not near, "a set that answers was known and not given"
    if answer is None:
        return
    images = answer.images
    assert [camera for camera, _ in images.pictures] == list(CAMERAS)
    assert [stamp for _, stamp in images.pictures] == list(images.stamps) and images.stamp == min(images.stamps)
    assert max(images.stamps) - min(images.stamps) <= CONFIG.skew_limit + 2e-6
    distance = abs(images.stamp - observe_at)
    if distance <= PERIOD / 2:
        assert distance <= min(abs(other.stamp - observe_at) for other in known) + 1e-9
    else:
        assert observe_at < images.stamp <= min(other.stamp for other in known if other.stamp > observe_at) + 1e-9


@settings(max_examples=100, deadline=None)
@given(pictures=_PICTURES)
def test_memory_is_bounded_and_duplicates_change_nothing(pictures):
    once, twice = Synchroniser(CONFIG), Synchroniser(CONFIG)
    for camera, stamp in pictures:
        once.add(camera, stamp, None)
        twice.add(camera, stamp, None)
        twice.add(camera, stamp, "duplicate")
    assert once.sets() == twice.sets()
    assert len(once.sets()) <= CONFIG.depth
    assert all(len(track.pictures) == len(track.stamps) <= CONFIG.depth for track in once._tracks.values())
