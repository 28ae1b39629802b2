"""Learners that step together are one learner with the batch of all; no cluster is needed for that."""

import copy
import multiprocessing
from unittest import mock

import pytest
import torch
from torch import distributed

from clwm_embodichain.cluster.learner import Learner, unpacked
from clwm_embodichain.training.policy.samples import build_samples, fit_coding
from clwm_embodichain.training.policy.streams import RecordedStreams
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

TINY = ClwmConfig(width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=8)
SETTINGS = TrainingSettings(steps=30, streams=4, segment=2, warmup_steps=5)
STEPS = 3


@pytest.fixture(scope="module")
def data(made_up_episode, embed, jacobians):
    episodes = [made_up_episode(seed, "lift") for seed in range(6)]
    coding = fit_coding(episodes)
    return build_samples(episodes, coding, embed, jacobians), coding


def the_same_noise_for_every_row():
    """So that it does not matter how the rows are shared out."""
    generator, rand, randn, randint = torch.Generator().manual_seed(0), torch.rand, torch.randn, torch.randint

    def spread(row, count):
        return row.expand(count, *row.shape[1:]).clone()

    return mock.patch.multiple(
        torch,
        rand=lambda *shape: spread(rand(1, *shape[1:], generator=generator), shape[0]),
        randn=lambda *shape: spread(randn(1, *shape[1:], generator=generator), shape[0]),
        randn_like=lambda like: spread(randn(1, *like.shape[1:], generator=generator), len(like)),
        randint=lambda high, shape, device=None: randint(high, (), generator=generator).expand(shape).clone(),
    )


class Given:
    """Streams that show what they are given."""

    def __init__(self, segments, device="cpu"):
        self._steps = iter([step.to(device) for segment in segments for step in segment])

    def next(self):
        return next(self._steps)


def learn_together(rank, folder, model, coding, shown, answer):
    # What another process is given is shared with it, weights too.
    learner = Learner(rank, 2, 1, copy.deepcopy(model), coding, SETTINGS)
    learner.join(f"file://{folder}/meeting", "127.0.0.1")
    with the_same_noise_for_every_row():
        found = [learner.step(0.0, [step.part(rank, 2) for step in segment]) for segment in shown]
    answer((found, learner.state()))
    distributed.destroy_process_group()


@pytest.fixture
def together(data, tmp_path):
    """(model, shown) -> what each of two learners found, and its average of the weights. shown: a list of segments."""

    def learn(model, shown):
        there, answer = multiprocessing.Pipe(duplex=False)
        arguments = tmp_path, model, data[1], shown
        second = multiprocessing.get_context("spawn").Process(target=learn_together, args=(1, *arguments, answer.send))
        second.start()
        answers = []
        learn_together(0, *arguments, answers.append)
        answers.append(there.recv())
        second.join()
        return [(found, unpacked(state)["ema"]) for found, state in answers]

    return learn


def test_two_learners_make_the_weights_of_one_with_twice_the_batch(data, together):
    samples, coding = data
    torch.manual_seed(1)
    model, streams = Clwm(TINY), RecordedStreams(samples, SETTINGS.streams, 0)
    shown = [[streams.next() for _ in range(SETTINGS.segment)] for _ in range(STEPS + 2)]
    shown[STEPS][0].batch.features[-1] = torch.nan  # of the second learner alone
    alone = PolicyTrainer(copy.deepcopy(model), Given(shown), coding, SETTINGS, lambda: 0.0)
    (found, ours), (their_found, theirs) = together(model, shown)
    with the_same_noise_for_every_row():
        expected = [alone.step() for _ in shown]
    assert found == their_found
    assert [index for index, step in enumerate(found) if step is None] == [STEPS], (
        "a step that one cannot take, none takes"
    )
    for step, single in zip(found, expected, strict=True):
        assert step == (single and pytest.approx(single, rel=1e-4))
    moved = max(float((ours[name] - start).abs().max()) for name, start in model.state_dict().items())
    assert moved > 1e-3
    for name, single in alone.ema.state_dict().items():
        assert torch.equal(ours[name], theirs[name]), name
        # A gradient that is nothing but rounding moves a weight as far as others: Adam divides by its size.
        torch.testing.assert_close(ours[name], single, rtol=0.0, atol=0.05 * moved, msg=name)


def test_a_trainer_computes_on_the_device_of_its_process_alone(data):
    samples, coding = data
    shown = [[RecordedStreams(samples, SETTINGS.streams, 0).next() for _ in range(2)] for _ in range(2)]
    with torch.device("meta"):  # which refuses operands of another device, as a GPU does
        trainer = PolicyTrainer(Clwm(TINY).to("meta"), Given(shown, torch.device("meta")), coding, SETTINGS)
        for _ in shown:
            losses, total = trainer.losses()
            total.backward()
            trainer._memory = trainer._memory.detach()
            for optimiser in trainer._optimisers:
                optimiser.step()
    assert {total.device.type, *(loss.device.type for loss in losses.values())} == {"meta"}
