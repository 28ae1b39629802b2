"""What a policy is trained on: episodes that were recorded, or trajectories that are simulated meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import GoalChoice, kinds_of
from clwm_embodichain.episodes.command import RecordOrder, record_all
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError, encode_features, load_episodes
from clwm_embodichain.episodes.schedule import Schedule, ScheduleError
from clwm_embodichain.episodes.storage import episode_files
from clwm_embodichain.expansion.parts import NOTHING, Expansion
from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.worker import Simulation
from clwm_embodichain.stream.workers import SimulationWorkers
from clwm_embodichain.training.policy.samples import Coding, Jacobians, Samples, build_samples, fit_coding
from clwm_embodichain.training.policy.streams import ObservationStreams, OnlineStreams, RecordedStreams
from clwm_perception.encoder import Encoder

HELD_OUT = 0.06  # share of each goal's recorded episodes that only validation sees
FIRST_HELD_OUT_SEED = 900_000  # of the episodes that validate an online training; simulation stays below
FAILURES = "failures"  # folder of their pictures
HELD_OUT_EPISODES, HELD_OUT_IN_ALL = 20, 60  # of each goal, and of all together where there are many


@dataclass(frozen=True)
class SampleCoder:
    """What turns episodes into samples besides the coding. embed: sentence -> its embedding, as
    the policy is given it. choices: what is played."""

    embed: Callable[[str], Tensor]
    jacobians: Jacobians
    choices: tuple[GoalChoice, ...]

    def __call__(self, episodes: Sequence[FeatureEpisode], coding: Coding) -> Samples:
        return build_samples(episodes, coding, self.embed, self.jacobians, kinds_of(self.choices))


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
    for choice in coder.choices:
        episodes = _encoded(data, cache, encoder, choice)
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


def held_out_episodes(
    folder: Path,
    encoder: Encoder,
    choices: Sequence[GoalChoice],
    expansion: Expansion,
    workers: int,
    console: PlainConsole,
) -> list[FeatureEpisode]:
    """What online trainings are validated on, recorded in `folder` where it is not there yet."""
    each = min(HELD_OUT_EPISODES, -(-HELD_OUT_IN_ALL // len(choices)))
    return record_and_encode(choices, each, FIRST_HELD_OUT_SEED, folder, encoder, expansion, workers, console)


def record_and_encode(
    choices: Sequence[GoalChoice],
    episodes: int,
    first_seed: int,
    folder: Path,
    encoder: Encoder,
    expansion: Expansion,
    workers: int,
    console: PlainConsole,
) -> list[FeatureEpisode]:
    """The successful ones of these seeds of each goal, recorded in `folder` where they are not there yet."""
    seeds = range(first_seed, first_seed + episodes)
    orders = [RecordOrder(choice, seed, expansion, folder) for choice in choices for seed in seeds]
    record_all(orders, workers, console)
    cache = folder / encoder.weights_hash
    return [episode for choice in choices for episode in _encoded(folder, cache, encoder, choice)]


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
    expansion: Expansion = NOTHING,
    success: Path | None = None,
    make_workers: Callable[[Simulation, int], SimulationWorkers] = ProcessWorkers,
) -> Iterator[TrainingSource]:
    """Trajectories of workers that simulate as long as the context. encoder: its folder, for them. success: a file with
    rates by goal, as `Schedule.read` takes it; whoever evaluates the policy meanwhile may write it anew. make_workers:
    from what they play and their first seed.

    A training resumed in `out` goes on with seeds that it has not seen. Raises PolicyDataError, RingError or
    ScheduleError.
    """
    before, place = {"episodes": 0, "observations": 0, "walks": 0, "next_seed": 0}, out / "stream.json"
    if place.exists():
        try:
            before |= json.loads(place.read_text())
        except (TypeError, ValueError) as error:
            raise PolicyDataError(f"{place} cannot be read ({error}); begin in another --out") from None
    if before["next_seed"] + settings.capacity > FIRST_HELD_OUT_SEED:
        raise PolicyDataError(f"{place} has used up the seeds below {FIRST_HELD_OUT_SEED}; begin in another folder")
    cameras, *grid = held_out[0].features.shape[1:]
    simulation = Simulation(
        coder.choices,
        encoder,
        settings.workers,
        (settings.looks * cameras, *grid),
        expansion=expansion,
        failures=out / FAILURES,
        looks=settings.looks,
    )
    workers = make_workers(simulation, before["next_seed"])
    with OnlineEngine(workers, settings, seed=seed) as engine:
        schedules = _Schedules(coder.choices, success)
        engine.follow(schedules.now())
        with progress(console, "first trajectories", settings.fitted_on) as advance:
            first = engine.collect(settings.fitted_on, lambda done: advance(1, ""))
        coding = _coding(out, first)
        engine.begin(lambda episode: coder([episode], coding))

        def facts() -> dict[str, Any]:
            counts = engine.counts()
            so_far = (counts.trajectories, counts.observations, counts.walks)
            names = ("episodes", "observations", "walks")
            sums = (before[name] + value for name, value in zip(names, so_far, strict=True))
            rejected = 100.0 * counts.failed / max(1, counts.failed + counts.simulated)
            waited = {"rejected_percent": rejected, "age": counts.age, "learner_waited": counts.learner_waited}
            return (
                _facts(*sums) | waited | {"stream": settings.model_dump() | asdict(counts), "expansion": str(expansion)}
            )

        def keep() -> None:
            found = facts()
            kept = {name: found[name] for name in ("episodes", "observations", "walks")}
            partial = place.with_suffix(".partial")
            partial.write_text(json.dumps(kept | {"next_seed": engine.next_seed}))
            partial.replace(place)
            engine.follow(schedules.now())

        yield TrainingSource(
            coding,
            OnlineStreams(engine.draw, streams, seed),
            coder(held_out, coding),
            f"trajectories of {settings.workers} simulation workers, each episode in {settings.looks} looks, walked "
            f"through at most {settings.reuse} times; {len(held_out)} episodes held out",
            facts,
            keep,
        )


class _Schedules:
    """That of a file, as it is now; a file that cannot be read later on changes nothing."""

    def __init__(self, choices: Sequence[GoalChoice], success: Path | None) -> None:
        """Raises ScheduleError."""
        self._choices, self._success = choices, success
        self._last = Schedule(choices) if success is None else Schedule.read(choices, success)

    def now(self) -> Schedule:
        if self._success is not None:
            # Whoever writes it may be in the middle of that.
            with suppress(ScheduleError):
                self._last = Schedule.read(self._choices, self._success)
        return self._last


def _facts(episodes: int, observations: int, walks: int) -> dict[str, Any]:
    return {
        "episodes": episodes,
        "observations": observations,
        "walks": walks,
        "reuse": round(walks / max(1, episodes), 2),
    }


def _encoded(data: Path, cache: Path, encoder: Encoder, choice: GoalChoice) -> list[FeatureEpisode]:
    files = episode_files(data, choice.scene, choice.kind)
    encode_features(files, cache, encoder)
    return list(load_episodes(files, cache))


def _coding(out: Path, training: Sequence[FeatureEpisode]) -> Coding:
    """What the weights have learned to read must not shift when a training is resumed with more episodes."""
    path = out / "coding.json"
    coding = Coding.load(path) if path.exists() else fit_coding(training)
    coding.save(path)
    return coding
