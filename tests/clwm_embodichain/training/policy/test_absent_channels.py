"""A policy for a robot that lacks some of the thirty channels."""

import dataclasses

import numpy as np
import pytest
import torch

from clwm_common.actions import ACTION_DIM, POSES
from clwm_embodichain.episodes.features import PolicyDataError
from clwm_embodichain.training.policy.samples import build_samples, fit_coding
from clwm_embodichain.training.policy.streams import RecordedStreams
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

ABSENT = [*range(POSES.start, POSES.stop), 29]  # tool poses, and one hand
TINY = ClwmConfig(width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=8)


def lacking(episode):
    channels = np.ones(ACTION_DIM, bool)
    channels[ABSENT] = False
    rows = {name: getattr(episode, name).copy() for name in ("plans", "executed", "states")}
    for array in rows.values():
        array[..., ABSENT] = 0.0
    return dataclasses.replace(episode, channels=channels, **rows)


@pytest.fixture(scope="module")
def episodes(made_up_episode):
    return [lacking(made_up_episode(seed, "lift")) for seed in range(4)]


def test_absent_channels_are_coded_as_nothing_and_keep_what_is_commanded(episodes, embed, jacobians):
    coding = fit_coding(episodes)
    samples = build_samples(episodes, coding, embed, jacobians)
    for coded in (samples.target, samples.committed, samples.executed):
        assert (coded[..., ABSENT] == 0.0).all() and coded.abs().max() > 0.5
    state = samples.predicted_proprioception.unflatten(1, (2, ACTION_DIM))
    assert (state[..., ABSENT] == 0.0).all() and torch.isfinite(state).all()
    anchor = np.linspace(0.1, 0.4, ACTION_DIM)
    rows = coding.codec.decode_rows(np.ones((16, ACTION_DIM)), anchor)
    assert np.allclose(rows[:, 0:3], anchor[0:3]) and np.allclose(rows[:, 29], anchor[29])
    assert not np.allclose(rows[:, 28], anchor[28])


def test_a_policy_is_trained_on_what_is_there(episodes, embed, jacobians):
    coding = fit_coding(episodes)
    samples = build_samples(episodes, coding, embed, jacobians)
    torch.manual_seed(0)
    settings = TrainingSettings(steps=2, streams=2, segment=2, warmup_steps=1)
    trainer = PolicyTrainer(Clwm(TINY), RecordedStreams(samples, 2, 0), coding, settings)
    assert np.isfinite([trainer.step()["action"] for _ in range(2)]).all() and trainer.skipped == 0


def test_episodes_with_other_channels_are_named(episodes, made_up_episode, embed, jacobians):
    other = made_up_episode(9, "place it")
    with pytest.raises(PolicyDataError, match="place it, seed 9: some of the training's episodes have left_x, left_y"):
        fit_coding([*episodes, other])
    with pytest.raises(PolicyDataError, match="right_gripper, and others have not; train on those"):
        build_samples([other], fit_coding(episodes), embed, jacobians)
