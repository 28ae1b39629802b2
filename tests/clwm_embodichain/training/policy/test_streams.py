"""Walks through episodes: a horizon at a time, new memories announced, recorded and fresh ones alike."""

import pytest
import torch

from clwm_embodichain.training.policy.samples import build_samples, fit_coding
from clwm_embodichain.training.policy.streams import STRIDE, OnlineStreams, RecordedStreams

TASKS = ("lift", "place it")


@pytest.fixture(scope="module")
def parts(made_up_episode, embed, jacobians):
    """Samples of each of twelve episodes."""
    episodes = [made_up_episode(seed, TASKS[seed % 2]) for seed in range(12)]
    coding = fit_coding(episodes)
    return [build_samples([episode], coding, embed, jacobians, TASKS) for episode in episodes]


@pytest.fixture(scope="module")
def samples(made_up_episode, embed, jacobians):
    episodes = [made_up_episode(seed, TASKS[seed % 2]) for seed in range(12)]
    return build_samples(episodes, fit_coding(episodes), embed, jacobians)


def test_recorded_streams_advance_by_a_horizon_and_announce_new_episodes(samples):
    streams = RecordedStreams(samples, 5, seed=0)
    index = torch.from_numpy(streams.index.copy())
    assert streams.next().fresh.all()
    for _ in range(30):
        following = torch.from_numpy(streams.index.copy())
        step = streams.next()
        assert torch.equal(following[~step.fresh], index[~step.fresh] + STRIDE)
        assert (samples.first[following[~step.fresh]] == samples.first[index[~step.fresh]]).all()
        assert (following[step.fresh] - samples.first[following[step.fresh]] < STRIDE).all()
        assert torch.equal(step.batch.features, samples.features[following])
        index = following


def test_both_recorded_tasks_are_visited_equally_often(samples):
    streams = RecordedStreams(samples, 8, seed=0)
    tasks = torch.cat([streams.next().batch.task for _ in range(100)])
    assert 0.4 < tasks.float().mean() < 0.6


def test_a_fresh_trajectory_is_walked_from_its_start_to_its_end_before_the_next_is_drawn(parts):
    waiting = list(parts)
    streams = OnlineStreams(lambda: waiting.pop(0), 2, seed=0)
    shown = {0: [], 1: []}
    for _ in range(12):
        step = streams.next()
        for stream in (0, 1):
            if step.fresh[stream]:
                shown[stream].append([])
            shown[stream][-1].append(step.batch.features[stream])
    assert streams.walks == 12 - len(waiting) > 2
    for walk in [walk for walks in shown.values() for walk in walks[:-1]]:
        whole = next(part for part in parts if any(torch.equal(walk[0], f) for f in part.features))
        phase = next(i for i, f in enumerate(whole.features) if torch.equal(f, walk[0]))
        assert phase < STRIDE
        assert torch.equal(torch.stack(walk), whole.features[phase::STRIDE])


def test_the_future_of_a_fresh_observation_is_the_one_a_horizon_later(parts):
    streams = OnlineStreams(lambda: parts[0], 1, seed=3)
    first, second = streams.next(), streams.next()
    assert torch.equal(first.future[0], second.batch.features[0].float())


def test_a_trajectory_of_one_observation_is_walked_too(parts):
    short = parts[0].take(torch.tensor([0]))
    short.following[:] = 0
    streams = OnlineStreams(lambda: short, 3, seed=0)
    assert all(streams.next().fresh.all() for _ in range(3))
    assert streams.walks == 9


def test_recorded_streams_go_on_where_they_were_and_start_afresh_on_other_data(samples, parts):
    streams = RecordedStreams(samples, 4, seed=0)
    for _ in range(7):
        streams.next()
    state = streams.state()
    again = RecordedStreams(samples, 4, seed=9)
    assert again.resume(state) and again.walks == streams.walks
    for _ in range(20):
        ours, theirs = again.next(), streams.next()
        assert torch.equal(ours.batch.features, theirs.batch.features) and torch.equal(ours.fresh, theirs.fresh)
    assert not RecordedStreams(parts[0], 4, seed=0).resume(state)
    assert not RecordedStreams(samples, 4, seed=0).resume(OnlineStreams(lambda: parts[0], 4, seed=0).state())
    assert not OnlineStreams(lambda: parts[0], 4, seed=0).resume(state)
