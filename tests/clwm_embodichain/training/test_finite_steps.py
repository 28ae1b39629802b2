"""A step whose loss or gradient is not finite touches nothing, is counted, and ten in a row end the training."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.training.curves import Curves
from clwm_embodichain.training.encoder.data import Frames
from clwm_embodichain.training.encoder.model import TrainingConfig
from clwm_embodichain.training.encoder.roles import OWNERS, ROLES
from clwm_embodichain.training.encoder.trainer import EncoderTrainer
from clwm_embodichain.training.finite_steps import FiniteSteps, TrainingDiverged
from clwm_embodichain.training.loop import run_training
from clwm_embodichain.training.memory.data import OBSERVATIONS
from clwm_embodichain.training.memory.trainer import MemoryTrainer, MemoryTrainingSettings
from clwm_embodichain.training.policy.samples import build_samples, fit_coding
from clwm_embodichain.training.policy.streams import RecordedStreams
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_embodichain.training.states import TrainingStates
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

TINY = ClwmConfig(width=16, layers=1, heads=2, ffn_width=32, memory_rank=4, feature_channels=8)


class Poisoned:
    """Streams whose observations are NaN where `is_bad` says so."""

    def __init__(self, streams, is_bad):
        self._streams, self._is_bad, self.steps = streams, is_bad, 0

    def __getattr__(self, name):
        return getattr(self._streams, name)

    def next(self):
        shown, self.steps = self._streams.next(), self.steps + 1
        if not self._is_bad(self.steps):
            return shown
        return replace(shown, batch=replace(shown.batch, proprioception=shown.batch.proprioception * math.nan))


@pytest.fixture(scope="module")
def data(made_up_episode, embed, jacobians):
    episodes = [made_up_episode(seed, "lift") for seed in range(3)]
    coding = fit_coding(episodes)
    return build_samples(episodes, coding, embed, jacobians), coding


def policy_trainer(data, is_bad):
    samples, coding = data
    torch.manual_seed(0)
    streams = Poisoned(RecordedStreams(samples, 2, 0), is_bad)
    return PolicyTrainer(Clwm(TINY), streams, coding, TrainingSettings(steps=100, streams=2, segment=1))


def assert_same(one, other, where=""):
    """Two states: tensors bit for bit."""
    if torch.is_tensor(one):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_same(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{index}]")
    else:
        assert one == other, where


LEARNED = ("model", "ema", "optimisers", "optimiser", "read_out", "heads", "scale", "steps_done", "recall", "longest")


def learned(trainer):
    state = trainer.state()
    return copy.deepcopy({name: state[name] for name in LEARNED if name in state})


def test_a_poisoned_batch_leaves_weights_average_and_optimisers_and_the_training_goes_on(data):
    trainer = policy_trainer(data, lambda step: step == 3)
    for _ in range(2):
        trainer.step()
    before = learned(trainer)
    assert trainer.step() is None and trainer.skipped == 1
    assert_same(before, learned(trainer))
    assert all(math.isfinite(value) for value in trainer.step().values()), "the memory of the bad step must be gone"
    assert trainer.steps_done == 3 and trainer.skipped == 1


def test_a_gradient_that_is_not_finite_though_the_loss_is_leaves_all_as_it_was(data):
    trainer = policy_trainer(data, lambda step: False)
    trainer.step()
    before = learned(trainer)
    handle = trainer.model.action_out.weight.register_hook(lambda gradient: gradient * math.inf)
    assert trainer.step() is None
    handle.remove()
    assert_same(before, learned(trainer))
    assert trainer.step() is not None


def test_ten_in_a_row_end_the_training_and_the_last_checkpoint_is_whole(data, tmp_path):
    trainer = policy_trainer(data, lambda step: step > 4)
    states, kept = TrainingStates(tmp_path, "trainer"), []

    def keep():
        kept.append(states.save(trainer.steps_done, trainer.state()))

    with pytest.raises(TrainingDiverged, match=r"10 steps in a row .*action is nan.*lower --learning-rate"):
        run_training(trainer, Curves(tmp_path / "c.jsonl"), keep, 0.0, PlainConsole(quiet=True))
    assert trainer.skipped == 10 and trainer.steps_done == 4
    again = policy_trainer(data, lambda step: False)
    states.resume(again.resume)
    assert again.steps_done == 4 and again.step() is not None


def test_nine_in_a_row_and_a_good_one_do_not_end_it():
    finite = FiniteSteps()
    for _ in range(3):
        assert [finite.may_take({"loss": math.inf}) for _ in range(9)] == [False] * 9
        assert finite.may_take({"loss": 1.0})
    assert finite.skipped == 27


def test_the_memory_trainer_leaves_a_poisoned_step_out(data):
    samples, coding = data
    count = len(samples) // OBSERVATIONS * OBSERVATIONS
    first = torch.arange(count) // OBSERVATIONS * OBSERVATIONS
    streams = samples.take(torch.arange(count))
    streams = replace(streams, first=first, task=first // OBSERVATIONS % 2, following=torch.arange(count))
    settings = MemoryTrainingSettings(steps=10, streams=2)
    trainer = MemoryTrainer(Clwm(TINY), streams, coding, settings)
    assert trainer.step() is not None
    before = learned(trainer)
    handle = trainer.model.action_out.weight.register_hook(lambda gradient: gradient * math.nan)
    assert trainer.step() is None
    handle.remove()
    assert_same(before, learned(trainer))
    assert trainer.step() is not None


def test_the_encoder_trainer_leaves_a_poisoned_step_out_and_looks_at_other_pictures_next():
    config = TrainingConfig(channels=16, layers=1, heads=2, image_size=64, states=2, steps=100, warm_up=2)
    rng = np.random.default_rng(0)
    views = (2, 2, 3)
    frames = Frames(
        rng.integers(0, 255, (*views, 64, 64, 3), dtype=np.uint8),
        rng.normal(0.4, 0.05, (2, len(ROLES), 5)).astype(np.float32),
        np.ones((2, len(ROLES)), bool),
        rng.uniform(6, 57, (*views, len(OWNERS), 2)).astype(np.float32),
        np.zeros((*views, 16, 16), np.uint8),
    )

    class Pool:
        def refresh(self):
            pass

        def draw(self, rng, count):
            return frames

    trainer = EncoderTrainer(config, Pool())
    trainer.step()
    before = learned(trainer)
    weight = next(trainer.model.parameters())
    handle = weight.register_hook(lambda gradient: gradient * math.nan)
    assert trainer.step() is None and trainer.steps_done == 2
    handle.remove()
    assert_same(before | {"steps_done": 2}, learned(trainer))
    assert trainer.step() is not None
    with pytest.raises(TrainingDiverged, match="gradient_norm is nan"):
        weight.register_hook(lambda gradient: gradient * math.nan)
        for _ in range(10):
            trainer.step()
