"""What a policy is trained on: episodes that were recorded, or trajectories that are simulated meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from clwm_common.actions import ROW_DT
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError, encode_features, load_episodes
from clwm_embodichain.episodes.record import record
from clwm_embodichain.episodes.storage import episode_files
from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.worker import Simulation
from clwm_embodichain.training.policy.samples import Coding, Jacobians, Samples, build_samples, fit_coding
from clwm_embodichain.training.policy.streams import ObservationStreams, OnlineStreams, RecordedStreams
from clwm_perception.encoder import Encoder
from clwm_sim.shipped_tasks import TASKS

HELD_OUT = 0.06  # share of each task's recorded episodes that only validation sees
FIRST_HELD_OUT_SEED = 900_000  # of the episodes that validate an online training; simulation stays below
HELD_OUT_EPISODES = 20  # of each task


@dataclass(frozen=True)
class SampleCoder:
    """What turns episodes into samples besides the coding. embed: sentence -> (384,)."""

    embed: Callable[[str], Tensor]
    jacobians: Jacobians
    tasks: tuple[str, ...]

    def __call__(self, episodes: Sequence[FeatureEpisode], coding: Coding) -> Samples:
        return build_samples(episodes, coding, self.embed, self.jacobians, self.tasks)


@dataclass(frozen=True)
class TrainingSource:
    """streams feed the trainer; validation are samples that it never sees. facts: what is known so far of the data, for
    curves and checkpoints; keep: what a resumed training needs is put on disk.
    """

    coding: Coding
    streams: ObservationStreams
    validation: Samples
    summary: str
    facts: Callable[[], dict[str, Any]]
    keep: Callable[[], None] = lambda: None


def recorded_source(
    data: Path, cache: Path, out: Path, encoder: Encoder, coder: SampleCoder, streams: int, seed: int
) -> TrainingSource:
    """Recorded episodes, encoded where they are not yet. Raises EpisodeError or PolicyDataError."""
    training, held_out = [], []
    for task in coder.tasks:
        episodes = _encoded(data, cache, encoder, task)
        kept = max(1, round(HELD_OUT * len(episodes)))
        training += episodes[:-kept]
        held_out += episodes[-kept:]
    return source_of(training, held_out, out, coder, streams, seed)


def source_of(
    training: Sequence[FeatureEpisode],
    held_out: Sequence[FeatureEpisode],
    out: Path,
    coder: SampleCoder,
    streams: int,
    seed: int,
) -> TrainingSource:
    """These episodes, walked through again and again."""
    coding = _coding(out, training)
    samples = coder(training, coding)
    walked = RecordedStreams(samples, streams, seed)

    def facts() -> dict[str, Any]:
        return _facts(len(training), len(samples), walked.walks)

    return TrainingSource(
        coding,
        walked,
        coder(held_out, coding),
        f"{len(training)} episodes, {len(samples)} observations; {len(held_out)} episodes held out",
        facts,
    )


def held_out_episodes(folder: Path, encoder: Encoder, tasks: Sequence[str], workers: int) -> list[FeatureEpisode]:
    """What online trainings are validated on, recorded in `folder` where it is not there yet."""
    return [
        episode
        for task in tasks
        for episode in record_and_encode(task, HELD_OUT_EPISODES, FIRST_HELD_OUT_SEED, folder, encoder, workers)
    ]


def record_and_encode(
    task: str, episodes: int, first_seed: int, folder: Path, encoder: Encoder, workers: int
) -> list[FeatureEpisode]:
    """The successful ones of these seeds, recorded in `folder` where they are not there yet."""
    record(task, episodes, first_seed, folder, workers)
    return _encoded(folder, folder / encoder.weights_hash, encoder, task)


@contextmanager
def online_source(
    settings: OnlineSettings,
    encoder: Path,
    held_out: Sequence[FeatureEpisode],
    out: Path,
    coder: SampleCoder,
    streams: int,
    seed: int,
    console: PlainConsole,
) -> Iterator[TrainingSource]:
    """Trajectories of simulation processes that run as long as the context. encoder: its folder, for them.

    A training resumed in `out` goes on with seeds that it has not seen. Raises PolicyDataError or RingError.
    """
    before, place = {"episodes": 0, "observations": 0, "walks": 0, "next_seed": 0}, out / "stream.json"
    if place.exists():
        try:
            before |= json.loads(place.read_text())
        except (TypeError, ValueError) as error:
            raise PolicyDataError(f"{place} cannot be read ({error}); begin in another --out") from None
    if before["next_seed"] + settings.capacity > FIRST_HELD_OUT_SEED:
        raise PolicyDataError(f"{place} has used up the seeds below {FIRST_HELD_OUT_SEED}; begin in another folder")
    longest = round(max(TASKS[task].timeout for task in coder.tasks) / ROW_DT)
    simulation = Simulation(coder.tasks, encoder, settings.workers, longest)
    workers = ProcessWorkers(simulation, held_out[0].features.shape[1:], first_seed=before["next_seed"])
    with OnlineEngine(workers, settings, seed=seed) as engine:
        with progress(console, "first trajectories", settings.fitted_on) as advance:
            first = engine.collect(settings.fitted_on, lambda done: advance(1, ""))
        coding = _coding(out, first)
        engine.begin(lambda episode: coder([episode], coding))

        def facts() -> dict[str, Any]:
            counts = engine.counts()
            so_far = (counts.trajectories, counts.observations, counts.walks)
            names = ("episodes", "observations", "walks")
            sums = (before[name] + value for name, value in zip(names, so_far, strict=True))
            return _facts(*sums) | {"stream": settings.model_dump() | asdict(counts)}

        def keep() -> None:
            found = facts()
            kept = {name: found[name] for name in ("episodes", "observations", "walks")}
            partial = place.with_suffix(".partial")
            partial.write_text(json.dumps(kept | {"next_seed": engine.next_seed}))
            partial.replace(place)

        yield TrainingSource(
            coding,
            OnlineStreams(engine.draw, streams, seed),
            coder(held_out, coding),
            f"trajectories of {settings.workers} simulation processes, each walked through at most {settings.reuse} "
            f"times; {len(held_out)} episodes held out",
            facts,
            keep,
        )


def _facts(episodes: int, observations: int, walks: int) -> dict[str, Any]:
    return {
        "episodes": episodes,
        "observations": observations,
        "walks": walks,
        "reuse": round(walks / max(1, episodes), 2),
    }


def _encoded(data: Path, cache: Path, encoder: Encoder, task: str) -> list[FeatureEpisode]:
    files = episode_files(data, task)
    encode_features(files, cache, encoder)
    return list(load_episodes(files, cache))


def _coding(out: Path, training: Sequence[FeatureEpisode]) -> Coding:
    """What the weights have learned to read must not shift when a training is resumed with more episodes."""
    path = out / "coding.json"
    coding = Coding.load(path) if path.exists() else fit_coding(training)
    coding.save(path)
    return coding
