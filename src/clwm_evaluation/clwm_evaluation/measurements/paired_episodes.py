"""Episodes of several re-entry policies on the same seeds under a virtual clock, kept one by one as they finish."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from clwm_common.provenance import commit
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.statistics import compare_pairs, mean, rounded, success_rate
from clwm_evaluation.virtual.stack import EpisodeResult, Latency, VirtualStack, stands_still

BASELINE = "sequential"
# Naive asynchrony sends the speculation as it stands: re-entry at the end, whatever was observed.
MODES = {"sequential": "sequential", "fixed:0.5": "fixed:0.5", "adaptive": "adaptive", "naive": "fixed:1"}

Modes = Annotated[list[str] | None, typer.Option("--mode", help=f"repeat it; default: {', '.join(MODES)}")]
Disturb = Annotated[float, typer.Option(min=0.0, max=0.1, help="move an object this many m, once")]
LedgerFile = Annotated[Path, typer.Option(help="keeps finished episodes, which are not run again")]


class PairedEpisodesError(ValueError):
    """Modes or kept episodes that cannot be used; the message says what was expected."""


@dataclass(frozen=True, order=True)
class Job:
    """One episode to run. mode: a key of MODES. delay_ms: from the pictures to the chunk. disturb: m."""

    seed: int
    task: str
    delay_ms: float
    mode: str
    disturb: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    outcome: str
    seconds: float
    chunks: int
    stalls: int
    idle_fraction: float
    active_seconds: float

    @classmethod
    def of(cls, result: EpisodeResult) -> Outcome:
        """The part of an episode's result that comparisons need."""
        return cls(**{field.name: getattr(result, field.name) for field in fields(cls)})

    @property
    def succeeded(self) -> bool:
        return self.outcome == "success"


def jobs_of(
    seeds: Iterable[int],
    tasks: Sequence[str],
    modes: Sequence[str],
    delays_ms: Sequence[float],
    disturb: float = 0.0,
) -> list[Job]:
    """All of them, seed by seed, so that an interrupted comparison is still paired. Raises PairedEpisodesError."""
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise PairedEpisodesError(f"mode '{unknown[0]}' is unknown; expected some of {', '.join(MODES)}")
    return [
        Job(seed, task, delay, mode, disturb)
        for seed in seeds
        for task in tasks
        for delay in delays_ms
        for mode in modes
    ]


class Ledger:
    """A JSON-lines file of finished jobs. made_with: what every line must agree on to be used again."""

    def __init__(self, path: Path, made_with: dict[str, str]) -> None:
        self._path = path
        self._made_with = made_with

    def read(self) -> dict[Job, Outcome]:
        """What is finished. Raises PairedEpisodesError for lines made with other weights, or that are none."""
        if not self._path.exists():
            return {}
        text = self._path.read_text()
        # What follows the last line end was cut off by an interrupt.
        lines = text[: text.rfind("\n") + 1].splitlines()
        found = {}
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                job, outcome = Job(**record["job"]), Outcome(**record["result"])
                made_with = record["made_with"]
            except (ValueError, KeyError, TypeError) as error:
                raise PairedEpisodesError(
                    f"{self._path}, line {number} is no finished episode ({error}); delete the line or the file"
                ) from error
            expected = self._made_with.get(job.mode)
            if expected is not None and made_with != expected:
                raise PairedEpisodesError(
                    f"{self._path}, line {number} was made with {made_with}; in use is {expected}; "
                    "choose another file, or delete this one"
                )
            found[job] = outcome
        return found

    def append(self, job: Job, outcome: Outcome) -> None:
        """Keep a finished job; whole lines only, whatever was cut off before."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_cut_line()
        record = {
            "job": asdict(job),
            "result": asdict(outcome),
            "made_with": self._made_with[job.mode],
            "commit": _commit(),
        }
        with self._path.open("a") as stream:
            stream.write(json.dumps(record) + "\n")

    def _drop_cut_line(self) -> None:
        if self._path.exists() and not (text := self._path.read_text()).endswith("\n"):
            self._path.write_text(text[: text.rfind("\n") + 1])


@cache
def _commit() -> str:
    return commit()


def run_missing(
    jobs: Sequence[Job],
    ledger: Ledger,
    results: Callable[[Sequence[Job]], Iterable[tuple[Job, Outcome]]],
    on_job: Callable[[Job, Outcome], None],
) -> dict[Job, Outcome]:
    """Run the jobs that the ledger does not have; the outcomes of all.

    results: runs jobs and yields them as they finish. on_job: called with each that was run now.
    """
    done = ledger.read()
    for job, outcome in results([job for job in jobs if job not in done]):
        ledger.append(job, outcome)
        done[job] = outcome
        on_job(job, outcome)
    return {job: done[job] for job in jobs}


class Stacks:
    """Virtual stacks of one model, made when they are first needed.

    One world per task and one engine per mode and task serve all delays: a GL context each would be too many.
    Computing takes no time but the delay, so that same seeds give same episodes whatever else the machine does.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._loaded: tuple[Any, Any, Path] | None = None
        self._worlds: dict[str, Any] = {}
        self._chunk_sources: dict[tuple[str, str], Any] = {}

    def run(self, job: Job) -> Outcome:
        """Run one episode. Raises CheckpointError."""
        world, source = self._parts(job)
        stack = VirtualStack(world, source, Latency(job.delay_ms / 1e3), disturb=job.disturb)
        return Outcome.of(stack.run(job.seed))

    def close(self) -> None:
        """Free the worlds' GL contexts."""
        for world in self._worlds.values():
            world.close()

    def _parts(self, job: Job) -> tuple[Any, Any]:
        from clwm_evaluation.virtual.chunk_sources import ModelSource
        from clwm_policy.loading import PolicySettings, load_engine
        from clwm_sim.world import World

        if self._loaded is None:
            _, encoder, plan, path = self._source.load()
            self._loaded = encoder, plan, path
        encoder, plan, path = self._loaded
        if job.task not in self._worlds:
            self._worlds[job.task] = World(job.task)
        world = self._worlds[job.task]
        if (job.task, job.mode) not in self._chunk_sources:
            engine = load_engine(
                PolicySettings(
                    checkpoint=path,
                    sai=MODES[job.mode],
                    video_steps=plan.video_steps,
                    action_steps=plan.action_steps,
                    encoder_hash=encoder.weights_hash,
                ),
                stopwatch=stands_still,
            )
            cameras = tuple(world.robot.cameras)
            self._chunk_sources[job.task, job.mode] = ModelSource(encoder, engine, cameras, stands_still)
        return world, self._chunk_sources[job.task, job.mode]


def made_with(source: Source, modes: Sequence[str]) -> dict[str, str]:
    """By mode the weights, steps and calibration that it runs with. Raises CheckpointError when one is missing."""
    from clwm_policy.engine.calibration import FILE_NAME
    from clwm_policy.loading import calibrated

    policy, _, plan, path = source.load()
    found = {}
    for mode in modes:
        calibrated(MODES[mode], path, policy, plan)
        found[mode] = f"policy {policy.policy_hash[:16]}, {plan.video_steps} + {plan.action_steps} flow steps"
        if MODES[mode] == "adaptive":
            found[mode] += f", calibration {hashlib.sha256(path.with_name(FILE_NAME).read_bytes()).hexdigest()[:16]}"
    return found


_stacks: Stacks | None = None


def _start_worker(source: Source) -> None:
    global _stacks  # worlds, GL contexts and models of a process, made after the spawn
    _stacks = Stacks(source)


def _run(job: Job) -> tuple[Job, Outcome]:
    assert _stacks is not None, "a worker runs episodes only after _start_worker"
    return job, _stacks.run(job)


@contextmanager
def running(source: Source, workers: int) -> Iterator[Callable[[Sequence[Job]], Iterable[tuple[Job, Outcome]]]]:
    """What `run_missing` asks for results, in this process or in several."""
    if workers == 1:
        stacks = Stacks(source)
        try:
            yield lambda jobs: ((job, stacks.run(job)) for job in jobs)
        finally:
            stacks.close()
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (source,)) as pool:
        yield lambda jobs: pool.imap_unordered(_run, jobs)


def played(
    console: PlainConsole,
    source: Source,
    seeds: Iterable[int],
    tasks: Sequence[str],
    modes: Sequence[str] | None,
    delays_ms: Sequence[float],
    disturb: float,
    workers: int,
    ledger: Path,
) -> tuple[dict[Job, Outcome], list[str], dict[str, str]]:
    """All outcomes, with progress, but those in the ledger are not run again; the modes, and `made_with` of each.

    modes: None for all. Raises as `jobs_of`, `made_with` and `Ledger.read`.
    """
    names = list(modes or MODES)
    jobs = jobs_of(seeds, tasks, names, delays_ms, disturb)
    found = made_with(source, list(dict.fromkeys(names)))
    book = Ledger(ledger, found)
    kept = book.read()
    missing = sum(job not in kept for job in jobs)
    if missing < len(jobs):
        console.print(f"{len(jobs) - missing} of {len(jobs)} episodes are in {ledger}", highlight=False)
    with progress(console, "episodes", missing) as advance, running(source, workers) as results:

        def on_job(job: Job, outcome: Outcome) -> None:
            advance(1, f"{job.task} seed {job.seed} {job.mode} {job.delay_ms:g} ms: {outcome.outcome}")

        return run_missing(jobs, book, results, on_job), names, found


def compare(outcomes: Mapping[Job, Outcome], modes: Sequence[str]) -> dict[str, Any]:
    """Rates by mode and their paired differences to the baseline, over all tasks (`all`) and each one."""
    tasks = list(dict.fromkeys(job.task for job in outcomes))
    groups = {"all": outcomes} | {
        task: {job: outcome for job, outcome in outcomes.items() if job.task == task} for task in tasks
    }
    return {name: _compare(group, modes) for name, group in groups.items()}


def _compare(outcomes: Mapping[Job, Outcome], modes: Sequence[str]) -> dict[str, Any]:
    by_mode = {mode: {_pair(job): out for job, out in outcomes.items() if job.mode == mode} for mode in modes}
    found: dict[str, Any] = {"modes": {mode: rates(list(by_mode[mode].values())) for mode in modes}, "differences": {}}
    for mode in modes:
        if mode != BASELINE and BASELINE in by_mode:
            found["differences"][mode] = difference(by_mode[mode], by_mode[BASELINE])
    return found


def rates(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Success with its Wilson interval, and how smoothly it went; times are virtual."""
    successes = sum(outcome.succeeded for outcome in outcomes)
    active = sum(outcome.active_seconds for outcome in outcomes)
    idle = sum(outcome.idle_fraction * outcome.active_seconds for outcome in outcomes)
    return {
        "episodes": len(outcomes),
        "successes": successes,
        **success_rate(successes, len(outcomes)),
        "seconds_to_success": rounded(mean(outcome.seconds for outcome in outcomes if outcome.succeeded), 3),
        "idle_fraction": round(idle / active, 4) if active > 0.0 else None,
        "stalls": sum(outcome.stalls for outcome in outcomes),
        "chunks": sum(outcome.chunks for outcome in outcomes),
    }


def difference(first: Mapping[Any, Outcome], second: Mapping[Any, Outcome]) -> dict[str, Any] | None:
    """Of the pairs that both have: rate of the first minus rate of the second, with McNemar's exact test."""
    pairs = [(first[key].succeeded, second[key].succeeded) for key in first if key in second]
    if not pairs:
        return None
    found = compare_pairs(pairs)
    found[f"only_{BASELINE}"] = found.pop("only_other")
    return found


def _pair(job: Job) -> tuple[Any, ...]:
    return job.task, job.seed, job.delay_ms, job.disturb
