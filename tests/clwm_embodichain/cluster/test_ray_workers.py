"""Workers on two Ray nodes: the trajectories of processes, each once, whatever happens to a node."""

import dataclasses
import time
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from clwm_common.files.model_files import ModelFiles
from clwm_embodichain.episodes.choices import parse_choices
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError
from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.worker import Simulation
from clwm_embodichain.stream.workers import SLOTS
from clwm_embodichain.training.policy.samples import build_samples, fit_coding
from clwm_embodichain.training.policy.streams import OnlineStreams
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

FIRST = 40
SETTINGS = TrainingSettings(steps=100, streams=2, segment=2, warmup_steps=5)


def simulation(workers):
    return Simulation(parse_choices("table/lift_tray"), ModelFiles.load("nano").encoder, workers, (3, 4, 4, 128))


@pytest.fixture
def ray_workers(nodes):
    """(workers, options) -> RayWorkers on two nodes."""
    from clwm_embodichain.cluster.ray_workers import RayWorkers

    nodes.add()
    return lambda workers, **options: RayWorkers(simulation(workers), FIRST, **options)


@pytest.fixture
def actor(made_up_episode):
    """play -> an actor that has an episode for every seed at once, and does `play(seed)` before it hands it over."""
    # As heavy as a real one: Ray keeps such an answer on the machine that made it until it is fetched.
    heavy = dataclasses.replace(made_up_episode(0, "lift"), instructions=("x" * 300_000,))

    def of(play):
        class Actor:
            def __init__(self, simulation, encoder):
                assert encoder["config.json"]

            def arrive(self):
                pass

            def play(self, choice, seed):
                play(seed)
                return dataclasses.replace(heavy, seed=seed)

        return Actor

    return of


def trainer_on(stream, embed, jacobians, seen):
    """A small trainer on what the engine gives. seen: gets the seed of every trajectory that comes in."""
    first = stream.collect(2)
    coding = fit_coding(first)

    def code(episode):
        seen.append(episode.seed)
        return build_samples([episode], coding, embed, jacobians, first[0].kinds)

    stream.begin(code)
    torch.manual_seed(0)
    channels = first[0].features.shape[-1]
    model = Clwm(ClwmConfig(width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=channels))
    return PolicyTrainer(model, OnlineStreams(stream.draw, SETTINGS.streams, 0), coding, SETTINGS)


def made(workers):
    """(workers,)"""
    return workers.told["made"].sum(axis=1)


def in_play(workers):
    """(workers,) seeds that were asked for, and have not come."""
    return (workers.told["next_seed"] - FIRST - np.arange(workers.count)) // workers.count - made(workers)


def until(condition, workers):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        workers.listen()
        time.sleep(0.01)


def test_a_training_on_ray_takes_the_very_steps_that_it_takes_on_processes(ray_workers, embed, jacobians):
    settings = OnlineSettings(capacity=2, reuse=100)
    with ExitStack() as stack:
        both = [
            stack.enter_context(OnlineEngine(workers, settings))
            for workers in (ray_workers(1), ProcessWorkers(simulation(1), FIRST))
        ]
        on_ray, on_processes = (stream.collect(2) for stream in both)
        for ours, theirs in zip(on_ray, on_processes, strict=True):
            for field in dataclasses.fields(FeatureEpisode):
                assert np.array_equal(getattr(ours, field.name), getattr(theirs, field.name)), field.name
        trainers = [trainer_on(stream, embed, jacobians, []) for stream in both]
        losses = []
        for trainer in trainers:
            torch.manual_seed(1)
            losses.append([trainer.step() for _ in range(3)])
    assert losses[0] == losses[1]


def test_a_node_that_is_lost_in_a_training_takes_the_episode_in_play_with_it_and_no_other(
    nodes, ray_workers, actor, embed, jacobians, tmp_path
):
    import ray

    def hold_of(seed):
        return tmp_path / f"hold {seed}"

    def play(seed):
        (tmp_path / str(seed)).touch()
        while hold_of(seed).exists():
            time.sleep(0.01)

    workers, seen = ray_workers(2, actor=actor(play)), []
    with OnlineEngine(workers, OnlineSettings(workers=2, capacity=2, reuse=1)) as stream:
        trainer = trainer_on(stream, embed, jacobians, seen)
        losses = [trainer.step() for _ in range(4)]
        # All slots of both are full, with what the learner has no room for yet.
        until(lambda: min(made(workers)) >= SLOTS and not in_play(workers).any(), workers)
        finished = workers.told["next_seed"].tolist()
        played = [seed + 2 for seed in finished]
        for seed in finished + played:
            hold_of(seed).touch()
        while min(in_play(workers)) < SLOTS:
            losses.append(trainer.step())
        # Of each worker one episode is finished, and nobody has listened since; the other is in play.
        for seed in finished:
            hold_of(seed).unlink()
        answers = [worker.next_answer for worker in workers._workers]
        assert len(ray.wait(answers, num_returns=2, timeout=60, fetch_local=False)[0]) == 2
        while not all((tmp_path / str(seed)).exists() for seed in played):
            time.sleep(0.01)
        nodes.lose()
        for seed in played:
            hold_of(seed).unlink()
        came = len(seen)
        while stream.counts().restarts == 0 or len(seen) < came + 4:
            losses.append(trainer.step())  # by what the other worker plays
            time.sleep(0.02)
        nodes.add()
        while min(Counter(seed % 2 for seed in seen[came:])[worker] for worker in (0, 1)) < 3:
            losses.append(trainer.step())
            time.sleep(0.02)
    assert None not in losses
    assert stream.counts().restarts == 1
    assert len(seen) == len(set(seen)), "an episode came twice"
    expected = {seed for worker in (0, 1) for seed in range(FIRST + worker, max(s for s in seen if s % 2 == worker), 2)}
    missing = expected - set(seen)
    assert len(missing) == 1 and missing < set(played), (sorted(missing), played)


def test_a_worker_that_is_replaced_takes_one_episode_with_it(ray_workers, actor):
    def hang_on_the_first(seed):
        time.sleep(1000.0 if seed == FIRST else 0.0)

    with ray_workers(1, actor=actor(hang_on_the_first)) as workers:
        until(lambda: workers.told["next_seed"][0] > FIRST + 1, workers)
        workers.replace(0)
        episodes = []
        until(lambda: len(episodes) == 3 or episodes.extend(filter(None, [workers.take()])), workers)
    assert [episode.seed for episode in episodes] == [FIRST + 1, FIRST + 2, FIRST + 3]


def test_workers_fill_their_slots_and_no_more_and_one_without_a_place_is_neither_silent_nor_lost(ray_workers, actor):
    with ray_workers(3, actor=actor(lambda seed: None)) as workers:
        until(lambda: sorted(made(workers)) == [0, SLOTS, SLOTS], workers)
        waiting, working = int(np.argmin(made(workers))), int(np.argmax(made(workers)))
        before = workers.told.copy()
        until(lambda: workers.told["waited"][working] > before["waited"][working] + 0.2, workers)
        assert (workers.told["beats"] > before["beats"]).all() and workers.ending(waiting) is None
        assert workers.told["next_seed"][waiting] == FIRST + waiting and workers.told["waited"][waiting] == 0.0
        assert workers.told["next_seed"][working] == FIRST + working + 3 * SLOTS
        assert workers.take() is not None
        until(lambda: sorted(made(workers)) == [0, SLOTS, SLOTS + 1], workers)


def test_a_worker_that_fails_again_and_again_ends_the_training_with_its_reason(ray_workers, actor):
    def fail(seed):
        raise OSError("no display")

    with OnlineEngine(ray_workers(1, actor=actor(fail)), OnlineSettings()) as stream:
        with pytest.raises(PolicyDataError, match=r"worker 0 was lost \(OSError: no display\), and 3 times"):
            stream.collect(1)
