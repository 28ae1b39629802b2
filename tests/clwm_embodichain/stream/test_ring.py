"""Trajectories pass through shared memory whole, or not at all."""

import dataclasses
import multiprocessing
import os
from types import SimpleNamespace

import numpy as np
import pytest

from clwm_embodichain.episodes.features import FeatureEpisode
from clwm_embodichain.stream.ring import RingError, RingLayout, TrajectoryRing

LAYOUT = RingLayout(writers=2, slots=2, rows=60, feature_shape=(3, 4, 4, 8), choices=2)


@pytest.fixture
def ring():
    with TrajectoryRing.create(LAYOUT) as ring:
        yield ring


def assert_same(one, other):
    for field in dataclasses.fields(FeatureEpisode):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_equal(ours, theirs, field.name)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None), field.name


def test_a_trajectory_arrives_as_it_was_sent_and_only_once(ring, made_up_episode):
    sent = made_up_episode(5, "lift")
    ring.write(1, ring.free_slot(1), sent)
    assert_same(ring.take(), sent)
    assert ring.take() is None


def test_a_shorter_trajectory_in_a_used_slot_brings_nothing_of_the_longer_one(ring, made_up_episode):
    long = made_up_episode(5, "a task with a long name")
    short = dataclasses.replace(
        made_up_episode(6, "lift"),
        **{name: getattr(made_up_episode(6, "lift"), name)[:20] for name in ("executed", "states")},
        **{
            name: getattr(made_up_episode(6, "lift"), name)[:5] for name in ("image_rows", "asked", "features", "plans")
        },
    )
    for sent in (long, short):
        ring.write(0, 0, sent)
        assert_same(ring.take(), sent)


def test_a_writer_has_no_free_slot_until_the_learner_takes_one(ring, made_up_episode):
    for seed in (1, 2):
        ring.write(0, ring.free_slot(0), made_up_episode(seed, "lift"))
    assert ring.free_slot(0) is None
    assert ring.free_slot(1) is not None, "slots of one writer are no other's"
    ring.take()
    assert ring.free_slot(0) is not None


def test_a_slow_learner_hears_of_every_writer_and_of_every_slot(ring, made_up_episode):
    taken = []
    for turn in range(8):  # all slots are filled again before the learner takes its next one
        for writer in range(LAYOUT.writers):
            while (slot := ring.free_slot(writer)) is not None:
                ring.write(writer, slot, made_up_episode(100 * writer + 10 * slot + turn % 10, "lift"))
        taken.append(ring.take().seed // 10 * 10)
    assert taken == [0, 100, 10, 110] * 2


def test_what_was_taken_stays_as_it_is_when_its_slot_is_filled_again(ring, made_up_episode):
    first = made_up_episode(1, "lift")
    ring.write(0, 0, first)
    taken = ring.take()
    ring.write(0, 0, made_up_episode(2, "lift"))
    assert_same(taken, first)


def test_words_that_are_not_there_yet_are_not_taken(ring, made_up_episode):
    ring.write(0, 0, made_up_episode(1, "lift"))
    value = float(ring._slots["states"][0, 0][3, 2])
    ring._slots["states"][0, 0][3, 2] = value + 1.0
    assert ring.take() is None
    ring._slots["states"][0, 0][3, 2] = value
    assert ring.take() is not None


def test_what_does_not_fit_is_refused_with_its_size(ring, made_up_episode):
    episode = made_up_episode(1, "lift")
    longer = dataclasses.replace(episode, executed=np.zeros((61, 30), np.float32))
    with pytest.raises(RingError, match=r"seed 1: 61 rows.*at most 60 rows"):
        ring.write(0, 0, longer)
    with pytest.raises(RingError, match=r"features \(3, 4, 4, 9\).*\(3, 4, 4, 8\)"):
        ring.write(0, 0, dataclasses.replace(episode, features=np.zeros((15, 3, 4, 4, 9), np.float16)))
    with pytest.raises(RingError, match="longer than 2048 bytes"):
        ring.write(0, 0, dataclasses.replace(episode, instructions=("x" * 2048,)))
    assert ring.take() is None, "a refused trajectory must not appear"


def test_too_little_shared_memory_is_refused_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=1, f_frsize=4096))
    with pytest.raises(RingError, match=r"needs \d+ MB of shared memory and /dev/shm has 0 MB free.*--shm-size"):
        TrajectoryRing.create(LAYOUT)


def _attach_and_stop(name, layout):
    with TrajectoryRing.attach(name, layout) as ring:
        ring.count(1, "made", 3, 1)
        ring.stop()


def test_another_process_sees_the_same_ring_and_only_the_learners_end_removes_it(ring):
    process = multiprocessing.get_context("fork").Process(target=_attach_and_stop, args=(ring.name, LAYOUT))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert ring.is_stopped and ring.writers["made"].tolist() == [[0, 0], [0, 3]]
    with TrajectoryRing.attach(ring.name, LAYOUT) as again:
        assert again.is_stopped


def test_a_ring_that_was_left_is_gone():
    with TrajectoryRing.create(LAYOUT) as ring:
        name = ring.name
    with pytest.raises(FileNotFoundError):
        TrajectoryRing.attach(name, LAYOUT)


def test_references_arrive_with_what_they_name_and_those_without_any_have_none(ring, made_up_episode):
    plain = made_up_episode(5, "lift")
    referents = np.arange(15 * 2 * 2 * 3, dtype=np.float32).reshape(15, 2, 2, 3)
    referents[:, 1, 1] = np.nan  # names one thing only
    referring = dataclasses.replace(plain, references=("the red one", "the blue one"), referents=referents)
    for sent in (referring, plain):
        ring.write(0, 0, sent)
        assert_same(ring.take(), sent)
