"""What `clwm bench stream` and `clwm bench waiting` count, with workers whose episodes are made up."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes.choices import parse_choices
from clwm_embodichain.episodes.features import FeatureEpisode
from clwm_embodichain.stream import worker
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.shared_memory import OwnedMemory
from clwm_embodichain.stream.worker import Simulation
from clwm_evaluation.experience import waiting
from clwm_evaluation.experience.stream import drill

SHAPE = (3, 4, 4, 8)
PICTURES = 9


class MadeUpSimulator:
    """An episode takes it 0.2 s."""

    def __init__(self, simulation):
        pass

    def play(self, choice, seed):
        time.sleep(0.2)
        rng, rows = np.random.default_rng(seed), np.arange(0, 4 * PICTURES, 4)
        states = rng.normal(size=(4 * PICTURES, 30)).astype(np.float32)
        plans = rng.normal(size=(PICTURES, 16, 30)).astype(np.float32)
        features = rng.normal(size=(PICTURES, *SHAPE)).astype(np.float16)
        asked = np.zeros(PICTURES, dtype=np.int64)
        return FeatureEpisode(
            choice.scene, (choice.kind,), ("do it",), seed, asked, rows, features, plans, states, states
        )


def work(order):
    worker.Simulator = MadeUpSimulator  # in the process of a worker
    worker.work(order)


@pytest.fixture
def workers():
    return ProcessWorkers(Simulation(parse_choices("pot"), None, 1, SHAPE), 5, work)


def test_training_that_uses_up_what_is_made_is_said_to_wait_for_it(workers, monkeypatch):
    small = replace(waiting.PRESETS["nano"], width=32, layers=1, heads=2, ffn_width=64, memory_rank=4)
    monkeypatch.setitem(waiting.PRESETS, "nano", small)
    monkeypatch.setattr(waiting, "STOCK", 2)
    torch.set_num_threads(1)
    found = waiting.train_on(workers, reuse=1, seconds=0.5)
    # A step takes 24 walked observations, of which an episode has three.
    assert 0.0 < found["learner_waited"] <= 1.0 and 0.0 <= found["workers_waited"] <= 1.0
    assert found["unique_per_step"] == pytest.approx(8 * PICTURES, rel=0.5)
    assert found["pairs"] == PICTURES * found["episodes"] > 0


def test_every_seed_is_accounted_for_when_workers_are_killed(workers):
    somebody_elses = OwnedMemory(4096)
    found = drill(workers, killed=2, hung=0, console=PlainConsole(quiet=True))
    somebody_elses.close()
    assert (found["taken_twice"], found["finished_and_not_taken"], found["shared_memory_left"]) == (0, 0, 0)
    # The two that were killed had begun one each, and the last one may be in the middle of another when all is over.
    assert found["taken"] >= 2 and found["begun_and_not_finished"] <= 3
