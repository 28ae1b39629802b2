"""A process that plays episodes of the expert for ever, and hands the successful ones to the learner."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clwm_common.actions import ROW_DT
from clwm_embodichain.episodes.choices import GoalChoice
from clwm_embodichain.episodes.failures import keep_failure
from clwm_embodichain.episodes.features import FeatureEpisode, ImageEncoder
from clwm_embodichain.episodes.recorder import Recorder
from clwm_embodichain.episodes.schedule import chosen
from clwm_embodichain.expansion.parts import NOTHING, Expansion
from clwm_embodichain.stream.ring import RingLayout, TrajectoryRing
from clwm_perception.encoder import Encoder

LONGEST = round(60.0 / ROW_DT)  # rows
_LOOK_EVERY = 0.005  # s between two looks for a free slot


@dataclass(frozen=True)
class Simulation:
    """What so many workers play, and with which encoder (its folder). looks: in which each episode is seen;
    feature_shape: (looks x cameras, rows, columns, channels) that it makes of their pictures; longest: rows of an
    episode that is handed over; failures: folder for pictures of the last ones that failed.
    """

    choices: tuple[GoalChoice, ...]
    encoder: Path
    workers: int
    feature_shape: tuple[int, int, int, int]
    longest: int = LONGEST
    expansion: Expansion = NOTHING
    failures: Path | None = None
    looks: int = 1


@dataclass(frozen=True)
class WorkerOrder:
    """All that one process is told. It goes on with the seed that the ring has for it, and skips as many as there are
    writers, so that no seed is played twice.
    """

    ring: str
    layout: RingLayout
    writer: int
    simulation: Simulation


def play_and_encode(
    recorder: Recorder,
    encode: ImageEncoder,
    choice: GoalChoice,
    seed: int,
    expansion: Expansion,
    longest: int,
    failures: Path | None = None,
    looks: int = 1,
) -> FeatureEpisode | None:
    """One episode with features in place of pictures; None when it failed or took over `longest` rows.

    looks: in which it is seen, their features one after the other as cameras. failures: folder in which pictures of the
    last ones that failed are kept.
    """
    episode = recorder.record(choice, seed, expansion)
    if not episode.success or len(episode.executed) > longest:
        if failures is not None:
            keep_failure(failures, episode)
        return None
    seen = [episode.images, *(recorder.in_looks(number) for number in range(1, looks))]
    features = [np.stack([encode(pictures) for pictures in images]) for images in seen]
    return FeatureEpisode.of(episode, np.concatenate(features, axis=1))


class Simulator:
    """Plays episodes of a simulation, in whatever process it is made; that takes seconds."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._encoder = Encoder.load(simulation.encoder)
        self._recorder = Recorder()

    def play(self, choice: GoalChoice, seed: int) -> FeatureEpisode | None:
        """The episode of a seed; None when it failed or took too long."""
        told = self._simulation
        how = (told.expansion, told.longest, told.failures, told.looks)
        return play_and_encode(self._recorder, self._encoder, choice, seed, *how)


def work(order: WorkerOrder) -> None:
    """Until the ring is stopped or the learner is gone. A seed counts as played before it is: one that kills the worker
    is not given to the next.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the learner's to answer
    layout, writer = order.layout, order.writer
    with TrajectoryRing.attach(order.ring, layout) as ring:
        simulator = Simulator(order.simulation)
        for seed in itertools.count(int(ring.writers["next_seed"][writer]), layout.writers):
            slot = _wait_for_slot(ring, writer)
            if slot is None:
                return
            ring.count(writer, "next_seed", layout.writers)
            choice = chosen(ring.shares, seed)
            episode = simulator.play(order.simulation.choices[choice], seed)
            if episode:
                ring.write(writer, slot, episode)
            ring.count(writer, "made" if episode else "failed", 1, choice)
            ring.count(writer, "beats", 1)


def _wait_for_slot(ring: TrajectoryRing, writer: int) -> int | None:
    """A free slot; None when there is nobody to write for any more."""
    began, learner = time.monotonic(), multiprocessing.parent_process()
    while not ring.is_stopped and learner.is_alive():
        if (slot := ring.free_slot(writer)) is not None:
            ring.count(writer, "waited", time.monotonic() - began)
            return slot
        ring.count(writer, "beats", 1)
        time.sleep(_LOOK_EVERY)
    return None
