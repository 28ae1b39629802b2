"""The time of the model's calls alone is that of the calls of the chunk, all of them, and only of them."""

import pytest
import torch

from clwm_common.files.model_files import ModelFiles
from clwm_evaluation.measurements.overhead import CALLS, ChunkTime, RecordedModel, chunk_times, summarise
from clwm_policy.engine.encoded import WorldModel
from clwm_policy.engine.re_entry import Plan, Sequential
from clwm_policy.model.checkpoint import load_policy
from clwm_policy.model.clwm import Clwm


def test_calls_are_all_that_a_program_makes_of_a_model():
    assert set(CALLS) == {name for name in vars(WorldModel) if not name.startswith("_")}


def test_a_sequential_chunk_makes_one_call_a_step():
    policy = load_policy(ModelFiles.load("nano").policy)
    width = policy.model.config.text_width
    times = list(chunk_times(policy, lambda sentence: torch.zeros(width), Sequential(), Plan(2, 3), chunks=2))
    assert [one.calls for one in times] == [1 + 1 + 2 + 1 + 3] * 2, "encode, write, video, absorb, action"
    assert all(one.whole > 0.0 and one.bare > 0.0 for one in times)


def test_asking_again_repeats_every_call_with_its_arguments():
    class Counter:
        config = "its own"

        def __init__(self):
            self.heard = []

        def write(self, *arguments):
            self.heard.append(arguments)

    model = Counter()
    recorded = RecordedModel(model)
    recorded.write(1, 2)
    recorded.write(3)
    recorded.ask_again()
    assert model.heard == [(1, 2), (3,), (1, 2), (3,)]
    assert recorded.config == "its own"


def test_ratio_is_the_median_of_each_chunk_against_its_own_calls():
    report = summarise([ChunkTime(1.1, 1.0, 5), ChunkTime(2.4, 2.0, 5), ChunkTime(9.0, 6.0, 5)])
    assert report["ratio"] == pytest.approx(1.2)
    assert report["chunk_ms"] == 2400.0 and report["calls"] == 5


def test_every_call_of_the_real_model_is_known():
    assert all(callable(getattr(Clwm, name)) for name in CALLS)
