"""Success rates under a virtual clock: many unseen seeds of one task, in parallel, summed up with their uncertainty."""

from __future__ import annotations

import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clwm_common.files.model_files import ModelFiles, ModelFilesError
from clwm_common.messages import Mode
from clwm_common.provenance import commit, machine
from clwm_evaluation.statistics import mean, percentiles, rounded, success_rate
from clwm_evaluation.virtual.chunk_sources import ChunkSource, ExpertSource, ForgetfulSource, ModelSource
from clwm_evaluation.virtual.conditions import CONDITIONS, ConditionedWorld
from clwm_evaluation.virtual.model_check import check_simulated
from clwm_evaluation.virtual.stack import EpisodeResult, Latency, LatencyError, VirtualStack
from clwm_policy.engine.re_entry import Plan, ReEntryError, parse_re_entry
from clwm_sai_executor.config import FOLLOW, SchedulerConfig
from clwm_sim.shipped_tasks import UnknownTask, table_task_named, task_named
from clwm_sim.world import World

FIRST_SEED = 1_000_000  # training data stays below
CONTROLS = ("policy", "noise", "hold", "expert")
DISTURB_MAX = 0.1  # m; further would leave the reach that the tasks were made for
_NOISE_SEED = 0
_WARNINGS_SHOWN = 5


class EvaluationError(ValueError):
    """An evaluation that cannot be run as asked; the message says what is wrong and what would be right."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What to evaluate.

    control: `policy` is the checkpoint, `noise` its architecture with random weights, `hold` stands still, `expert`
    sends the scripted expert's plans through the same executor and controllers.
    encoder: Hugging Face folder; policy: the checkpoint's .safetensors. Only `policy` and `noise` need them.
    follow: which channels of the chunks move the arms, `joints` or `poses`.
    backends: what may run the policy, the preferred one first.
    disturb: m by which one object is moved in every episode, at a random instant while the arms work.
    condition: name in CONDITIONS of what is changed in every episode.
    record: MCAP file for what the engine was asked and answered; one worker and a model only.
    """

    task: str
    encoder: Path
    policy: Path
    sai: str
    video_steps: int
    action_steps: int
    episodes: int = 100
    first_seed: int = FIRST_SEED
    latency: str = "measured"
    control: str = "policy"
    follow: str = "joints"
    backends: tuple[str, ...] = ("torch",)
    workers: int = 1
    disturb: float = 0.0
    condition: str = "none"
    record: Path | None = None

    @classmethod
    def of_model(cls, model: str, *, task: str, **others: Any) -> EvaluationSettings:
        """Settings of `config/models/<model>.yaml`; those in `others` that are not None come before it.

        Raises EvaluationError for an unknown model.
        """
        try:
            chosen = ModelFiles.load(model).model_dump(exclude={"tasks", "demo"})
        except ModelFilesError as error:
            raise EvaluationError(str(error)) from error
        if others.get("control") == "noise":
            chosen["sai"] = "sequential"  # no calibration can hold for random weights
        chosen.update({name: value for name, value in others.items() if value is not None})
        return cls(task=task, **chosen)

    @property
    def seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.episodes)

    @property
    def uses_model(self) -> bool:
        return self.control in ("policy", "noise")


def check_settings(settings: EvaluationSettings) -> dict[str, str]:
    """Hashes of what is evaluated. Raises EvaluationError for what cannot work, before any process is started."""
    if settings.control not in CONTROLS:
        raise EvaluationError(f"control '{settings.control}' is unknown; expected one of {', '.join(CONTROLS)}")
    if settings.condition not in CONDITIONS:
        raise EvaluationError(f"condition '{settings.condition}' is unknown; expected one of {', '.join(CONDITIONS)}")
    if settings.follow not in FOLLOW:
        raise EvaluationError(f"follow '{settings.follow}' is unknown; expected one of {', '.join(FOLLOW)}")
    if settings.episodes < 1 or settings.workers < 1 or settings.first_seed < 0:
        raise EvaluationError(
            f"{settings.episodes} episodes from seed {settings.first_seed} on {settings.workers} workers; "
            "expected at least 1 episode, 1 worker and a seed of at least 0"
        )
    if not 0.0 <= settings.disturb <= DISTURB_MAX:
        raise EvaluationError(f"disturb is {settings.disturb} m; expected 0 (nothing is moved) to {DISTURB_MAX} m")
    if settings.record is not None and (settings.workers > 1 or not settings.uses_model):
        raise EvaluationError(
            f"{settings.workers} workers with control '{settings.control}' cannot be recorded to {settings.record}; "
            "record with one worker and control policy or noise"
        )
    try:
        (table_task_named if settings.control == "expert" else task_named)(settings.task)
        Latency.parse(settings.latency)
        parse_re_entry(settings.sai)
        Plan(settings.video_steps, settings.action_steps)
    except (UnknownTask, LatencyError, ReEntryError) as error:
        raise EvaluationError(str(error)) from error
    return _model_hashes(settings) if settings.uses_model else {"policy_hash": "", "encoder_hash": ""}


def _model_hashes(settings: EvaluationSettings) -> dict[str, str]:
    # Here and in `_source`, since torch and transformers take seconds to import and only a model needs them.
    from clwm_policy.loading import calibrated
    from clwm_policy.model.checkpoint import CheckpointError, load_policy

    try:
        encoder_hash = check_simulated(settings.policy, settings.encoder).weights_hash
        policy = load_policy(settings.policy, encoder_hash)
        if settings.control == "noise":
            policy = policy.randomised(_NOISE_SEED)
        calibrated(settings.sai, settings.policy, policy, Plan(settings.video_steps, settings.action_steps))
    except CheckpointError as error:
        raise EvaluationError(str(error)) from error
    return {"policy_hash": policy.policy_hash, "encoder_hash": encoder_hash}


def build_stack(
    settings: EvaluationSettings,
    on_frame: Callable[[World, float], None] | None = None,
    model_source: Callable[..., ModelSource] = ModelSource,
) -> VirtualStack:
    """One world with everything around it, ready for `run(seed)`.

    on_frame: called at each camera instant. model_source: makes what stands between the stack and a policy's engine.
    """
    world = ConditionedWorld(settings.task, CONDITIONS[settings.condition])
    mode = Mode.HOLD if settings.control == "hold" else Mode.POLICY
    config = SchedulerConfig(initial_mode=mode, follow=settings.follow)
    hook = None if on_frame is None else lambda elapsed: on_frame(world, elapsed)
    latency = Latency.parse(settings.latency)
    return VirtualStack(world, _source(settings, world, model_source), latency, config, hook, settings.disturb)


def _source(settings: EvaluationSettings, world: World, model_source: Callable[..., ModelSource]) -> ChunkSource | None:
    if settings.control == "hold":
        return None
    if settings.control == "expert":
        return ExpertSource(world.robot)
    from clwm_perception.encoder import Encoder
    from clwm_policy.loading import PolicySettings, load_engine

    encoder = Encoder.load(settings.encoder)
    policy = PolicySettings(
        checkpoint=settings.policy,
        sai=settings.sai,
        video_steps=settings.video_steps,
        action_steps=settings.action_steps,
        encoder_hash=encoder.weights_hash,
        untrained_seed=_NOISE_SEED if settings.control == "noise" else None,
        backends=settings.backends,
    )
    cameras = tuple(world.robot.cameras)
    if CONDITIONS[settings.condition].forgets:
        model_source = ForgetfulSource
    if settings.record is None:
        return model_source(encoder, load_engine(policy), cameras)
    # Here, since the file is one of ROS messages, and an evaluation needs no ROS otherwise.
    from clwm_policy.recording.episode_file import load_recorded_engine

    engine = load_recorded_engine(policy, settings.record)
    return model_source(encoder, engine, cameras, on_close=engine.close)


def run_evaluation(
    settings: EvaluationSettings, on_episode: Callable[[EpisodeResult], None] | None = None
) -> dict[str, Any]:
    """Run all episodes and return the report as `--json` writes it. on_episode is called as they finish, in any order.

    Raises EvaluationError before the first episode when the settings cannot work.
    """
    hashes = check_settings(settings)
    results = []
    with _running(settings) as episodes:
        for result in episodes:
            results.append(result)
            if on_episode is not None:
                on_episode(result)
    return summarise(settings, hashes, sorted(results, key=lambda result: result.seed))


def summarise(settings: EvaluationSettings, hashes: dict[str, str], results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """The report of finished episodes. Times are of virtual time; blocking_ms is per chunk, over all episodes.

    idle_fraction is the part of the time since each episode's first motion in which no row of a chunk ran.
    """
    successes = sum(result.succeeded for result in results)
    active = sum(result.active_seconds for result in results)
    idle = sum(result.idle_fraction * result.active_seconds for result in results)
    return {
        "task": settings.task,
        "control": settings.control,
        "follow": settings.follow,
        "sai": settings.sai,
        "latency": settings.latency,
        "episodes": len(results),
        "successes": successes,
        **success_rate(successes, len(results)),
        "disturb": settings.disturb,
        "condition": settings.condition,
        "disturbed_episodes": sum(result.disturbed_at is not None for result in results),
        "outcomes": dict(sorted(Counter(result.outcome for result in results).items())),
        "blocking_ms": percentiles(1e3 * value for result in results for value in result.blocking),
        "idle_fraction": round(idle / active, 4) if active > 0.0 else None,
        "stalls": sum(result.stalls for result in results),
        "chunks": sum(result.chunks for result in results),
        "surrogate_error": rounded(mean(value for result in results for value in result.surrogate_errors)),
        "copy_error": rounded(mean(value for result in results for value in result.copy_errors)),
        "seconds_to_success": rounded(mean(result.seconds for result in results if result.succeeded)),
        "seed": settings.first_seed,
        "video_steps": settings.video_steps,
        "action_steps": settings.action_steps,
        "backends": list(settings.backends),
        **hashes,
        "warnings": _by_kind(text for result in results for text in result.refusals),
        "workers": settings.workers,
        "machine": machine(),
        "commit": commit(),
        "per_episode": [
            {"seed": result.seed, "outcome": result.outcome, "seconds": result.seconds, "chunks": result.chunks}
            for result in results
        ],
    }


_stack: VirtualStack | None = None


def _start_worker(settings: EvaluationSettings) -> None:
    global _stack  # one world, GL context and model per process, made after the spawn
    _stack = build_stack(settings)


def _run_seed(seed: int) -> EpisodeResult:
    assert _stack is not None, "a worker runs episodes only after _start_worker"
    return _stack.run(seed)


@contextmanager
def _running(settings: EvaluationSettings) -> Iterator[Iterator[EpisodeResult]]:
    workers = min(settings.workers, settings.episodes)
    if workers == 1:
        with closing(build_stack(settings)) as stack:
            yield map(stack.run, settings.seeds)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (settings,)) as pool:
        yield pool.imap_unordered(_run_seed, settings.seeds)


def _by_kind(warnings: Iterable[str]) -> dict[str, int]:
    """The most frequent warnings with counts; those that differ in numbers only are one kind, shown by its first."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for text in warnings:
        kind = re.sub(r"\d+(\.\d+)?", "#", text)
        counts[kind] += 1
        examples.setdefault(kind, text)
    return {examples[kind]: count for kind, count in counts.most_common(_WARNINGS_SHOWN)}
