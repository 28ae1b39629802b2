"""Trials of many episodes, recorded in parts by several processes; parts that exist are not recorded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from clwm_common.files.model_files import ModelFiles
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trials import Trials, run_trials
from clwm_evaluation.report import EncoderFolder, ModelName, PolicyFile
from clwm_evaluation.virtual.model_check import check_simulated
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.checkpoint import CheckpointError, Policy

TASKS = ("lift_tray", "place_block")
PART = 5  # episodes: what an interrupt costs at most
FOLDER = Path("out/trials")
KeptTrials = Annotated[
    Path | None, typer.Option("--trials", help="folder that keeps the trials; those found there are not run again")
]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Source:
    """Whose trials they are. policy, encoder: None for those of the model."""

    model: ModelName = "nano"
    policy: PolicyFile = None
    encoder: EncoderFolder = None

    def load(self) -> tuple[Policy, Any, Plan, Path]:
        """Policy, encoder, plan and the policy's path. Raises CheckpointError."""
        # Here, since transformers takes seconds to import and --help must not wait for it.
        import torch

        from clwm_perception.checkpoint import EncoderError
        from clwm_perception.encoder import Encoder
        from clwm_policy.backends.choice import choose
        from clwm_policy.backends.errors import BackendError
        from clwm_policy.model.checkpoint import load_policy

        torch.set_num_threads(1)
        files = ModelFiles.load(self.model)
        path = self.policy or files.policy
        check_simulated(path, self.encoder or files.encoder)
        try:
            encoder = Encoder.load(self.encoder or files.encoder)
            policy = choose(files.backends, load_policy(path, encoder.weights_hash), path).policy
        except (EncoderError, BackendError) as error:
            raise CheckpointError(str(error)) from error
        return policy, encoder, Plan(files.video_steps, files.action_steps), path


@dataclass(frozen=True)
class Part:
    """Consecutive seeds of one task, and the file that keeps their trials."""

    task: str
    seeds: tuple[int, ...]
    path: Path


def parts(folder: Path, episodes: int, first_seed: int, tasks: Sequence[str] = TASKS) -> list[Part]:
    """What has to exist for `episodes` of every task, in the order in which it is recorded."""
    made = []
    for start in range(first_seed, first_seed + episodes, PART):
        seeds = tuple(range(start, min(start + PART, first_seed + episodes)))
        made += [Part(task, seeds, folder / f"{task}-{start}-{len(seeds)}.npz") for task in tasks]
    return made


def record_part(part: Part, source: Source) -> None:
    """Run the episodes of a part and keep their trials. Raises TrialsError, CheckpointError."""
    policy, encoder, plan, _ = source.load()
    trials = run_trials(part.task, part.seeds, policy, encoder, plan)
    trials.save(part.path, policy.policy_hash, plan)


def recorded_trials(
    source: Source,
    episodes: int,
    first_seed: int,
    workers: int,
    console: PlainConsole,
    folder: Path | None = None,
    tasks: Sequence[str] = TASKS,
) -> Trials:
    """Trials of these tasks, read from `folder` as far as they are there, else recorded now and kept there.

    folder: by default one under out/trials for these weights and flow steps. Raises TrialsError or CheckpointError.
    """
    policy, _, plan, _ = source.load()
    folder = folder or FOLDER / f"{policy.policy_hash[:12]}-{plan.video_steps}-{plan.action_steps}"
    wanted = parts(folder, episodes, first_seed, tasks)
    missing = [part for part in wanted if not part.path.exists()]
    if missing:
        over_processes(console, "recording trials", missing, workers, record_part, source)
    return Trials.join([Trials.load(part.path, policy.policy_hash, plan) for part in wanted])


def over_processes(
    console: PlainConsole, what: str, wanted: Sequence[Part], workers: int, work: Callable[..., Found], *arguments: Any
) -> list[Found]:
    """`work(part, *arguments)` of every part, in their order, by several processes and with progress."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        futures = {pool.submit(work, part, *arguments): part for part in wanted}
        with progress(console, what, sum(len(part.seeds) for part in wanted)) as advance:
            for done in as_completed(futures):
                done.result()  # an error ends it at once
                advance(len(futures[done].seeds), futures[done].path.stem)
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
