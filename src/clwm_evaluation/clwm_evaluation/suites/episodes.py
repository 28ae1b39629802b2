"""Episodes of a suite: what is to be run, how one is run, and the file that keeps those that are done."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clwm_embodichain.episodes.choices import GoalChoice
from clwm_embodichain.expansion.attempts import Attempt
from clwm_evaluation.success_rates.evaluation import EvaluationSettings
from clwm_evaluation.suites.conditions import SUITES, Condition
from clwm_evaluation.suites.world import SuiteWorld
from clwm_evaluation.virtual.chunk_sources import ExpertSource, ForgetfulSource, ModelSource
from clwm_evaluation.virtual.stack import Latency, OnTick, VirtualStack, stands_still
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.scenes.task_table import TABLE

POLICY, EXPERT = "policy", "expert"


class SuiteError(ValueError):
    """A suite that cannot be run as asked, or kept episodes that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """One episode to run. goal: scene/kind. mover: `policy`, or the `expert` as the control."""

    seed: int
    goal: str
    condition: str
    mover: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    outcome: success, failure or timeout of the judged goal; reason: why not. told: the sentence. others: goals of the
    scene that were achieved besides. seconds: virtual.
    """

    outcome: str
    reason: str
    told: str
    others: tuple[str, ...]
    seconds: float
    chunks: int = 0

    @property
    def succeeded(self) -> bool:
        return self.outcome == "success"


@dataclass(frozen=True)
class Pictures:
    """JPEGs of the head camera: what was seen first, and a strip of the whole episode."""

    first: bytes | None = None
    strip: bytes | None = None


def jobs_of(suite: str, goals: Sequence[GoalChoice], seeds: Sequence[int]) -> list[Job]:
    """All of a suite, seed by seed, so that what is there is paired whenever it is interrupted."""
    return [
        Job(seed, str(goal), condition.name, mover)
        for seed in seeds
        for goal in goals
        for condition in SUITES[suite]
        for mover in ((POLICY, EXPERT) if condition.expert else (POLICY,))
    ]


class Episodes:
    """Runs the jobs of a suite in one process: one world, and one engine that is made when it is first needed.

    Computing takes no time but the latency, so that the same seed gives the same episode whatever else goes on.
    """

    def __init__(self, suite: str, settings: EvaluationSettings) -> None:
        self._conditions = {condition.name: condition for condition in SUITES[suite]}
        self._settings = settings
        self._latency = Latency.parse(settings.latency)
        self._world: SuiteWorld | None = None
        self._sources: dict[bool, ModelSource] = {}
        self._expert: ExpertSource | None = None

    def run(self, job: Job, attend: Callable[[SuiteWorld], OnTick] | None = None) -> tuple[Outcome, Pictures]:
        """One episode from its reset to its end. attend: makes what is called at every tick of a virtual stack."""
        condition = self._conditions[job.condition]
        task = task_of(job.goal, condition)
        world = self._world = self._world or SuiteWorld(task)
        world.condition = condition
        world.reset(job.seed, task)
        if job.mover == EXPERT and world.scene is not TABLE:
            return self._played(world, job.seed), Pictures()
        if job.mover == EXPERT:
            source = self._expert = self._expert or ExpertSource(world.robot)
        else:
            source = self._source(condition.forgets)
        stack = VirtualStack(world, source, self._latency)
        stack.on_tick = attend and attend(world)
        result = stack.run(job.seed)
        outcome = Outcome(
            result.outcome,
            world.reason(result.fault),
            world.instruction(job.seed),
            tuple(world.others_achieved()),
            result.seconds,
            result.chunks,
        )
        return outcome, Pictures(world.first_picture(), world.strip())

    def close(self) -> None:
        """Free the GL contexts."""
        for made in (self._world, self._expert):
            if made is not None:
                made.close()

    def _played(self, world: SuiteWorld, seed: int) -> Outcome:
        """By the expert, closed loop, on the same world."""
        for _ in Attempt(world, GoalExpert(world.robot), world.goals, world.goal).play():
            pass
        outcome = "success" if world.succeeded() else "timeout" if world.time >= world.goal.timeout else "failure"
        others = tuple(world.others_achieved())
        return Outcome(outcome, world.reason(""), world.instruction(seed), others, round(world.time, 4))

    def _source(self, forgets: bool) -> ModelSource:
        if not self._sources:
            # Here, since torch and transformers take seconds to import and --help must not wait for them.
            from clwm_perception.encoder import Encoder
            from clwm_policy.loading import PolicySettings, load_engine

            settings = self._settings
            encoder = Encoder.load(settings.encoder)
            engine = load_engine(
                PolicySettings(
                    checkpoint=settings.policy,
                    sai=settings.sai,
                    video_steps=settings.video_steps,
                    action_steps=settings.action_steps,
                    encoder_hash=encoder.weights_hash,
                    backends=settings.backends,
                ),
                stopwatch=stands_still,
            )
            cameras = tuple(self._world.robot.cameras)
            for kind, does in ((ModelSource, False), (ForgetfulSource, True)):
                self._sources[does] = kind(encoder, engine, cameras, stands_still)
        return self._sources[forgets]


def task_of(goal: str, condition: Condition) -> str:
    """The name of the task that plays a goal given as scene/kind."""
    scene, _, kind = goal.partition("/")
    if scene != TABLE.name:
        return f"{scene}:{kind}"
    return f"{kind}:{condition.delay}" if condition.delay is not None else kind


class Ledger:
    """A JSON-lines file of finished jobs. made_with: what a line must agree on to be used again."""

    def __init__(self, path: Path, made_with: dict[str, Any]) -> None:
        self._path, self._made_with = path, made_with

    def read(self) -> dict[Job, Outcome]:
        """What is finished. Raises SuiteError for lines that were made otherwise, or that are none."""
        if not self._path.exists():
            return {}
        found = {}
        for number, line in enumerate(self._whole().splitlines(), start=1):
            where = f"{self._path}, line {number}"
            try:
                record = json.loads(line)
                job, result = Job(**record["job"]), record["result"]
                outcome = Outcome(**result | {"others": tuple(result["others"])})
                made_with = record["made_with"]
            except (ValueError, KeyError, TypeError) as error:
                raise SuiteError(f"{where} is no finished episode ({error}); delete the line or the file") from None
            if made_with != self._made_with:
                raise SuiteError(
                    f"{where} was made with {made_with}, in use is {self._made_with}; give another --out, or delete it"
                )
            found[job] = outcome
        return found

    def append(self, job: Job, outcome: Outcome) -> None:
        """Keep a finished job, as a whole line whatever was cut off before."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            self._path.write_text(self._whole())
        record = {"job": asdict(job), "result": asdict(outcome), "made_with": self._made_with}
        with self._path.open("a") as stream:
            stream.write(json.dumps(record) + "\n")

    def _whole(self) -> str:
        """What follows the last line end was cut off by an interrupt."""
        text = self._path.read_text()
        return text[: text.rfind("\n") + 1]


_episodes: Episodes | None = None


def _start_worker(suite: str, settings: EvaluationSettings) -> None:
    global _episodes  # a world, its GL context and a model per process, made after the spawn
    _episodes = Episodes(suite, settings)


def _run(job: Job) -> tuple[Job, tuple[Outcome, Pictures]]:
    assert _episodes is not None, "a worker runs episodes only after _start_worker"
    return job, _episodes.run(job)


Finished = Iterator[tuple[Job, tuple[Outcome, Pictures]]]


@contextmanager
def running(suite: str, settings: EvaluationSettings) -> Iterator[Callable[[Sequence[Job]], Finished]]:
    """Runs jobs, in this process or in several, and yields them as they are finished."""
    if settings.workers == 1:
        episodes = Episodes(suite, settings)
        try:
            yield lambda jobs: ((job, episodes.run(job)) for job in jobs)
        finally:
            episodes.close()
        return
    with multiprocessing.get_context("spawn").Pool(settings.workers, _start_worker, (suite, settings)) as pool:
        yield lambda jobs: pool.imap_unordered(_run, jobs)
