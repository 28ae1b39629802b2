"""`clwm bench overhead`: what the engine adds to the model's own work.

Whole chunks against nothing but the model's calls that they make.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
import typer

from clwm_common.files.model_files import ModelFiles, ModelFilesError
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.report import Measured, ModelName, Rows, measurement
from clwm_policy.backends.choice import choose
from clwm_policy.backends.errors import BackendError
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Plan, ReEntryError, ReEntryPolicy
from clwm_policy.loading import WARM_UP_CHUNKS, calibrated, made_up_episode
from clwm_policy.model.checkpoint import CheckpointError, Policy, load_policy

GOAL = 1.10
MODES = ("sequential", "fixed:0.5", "adaptive")
CALLS = (
    "encode_context",
    "encode_with_preview",
    "write",
    "video_velocity",
    "absorb",
    "action_velocity",
    "action_preview",
)


@measurement(BackendError, CheckpointError, ModelFilesError, ReEntryError, draws=False)
def overhead(
    console: PlainConsole,
    chunks: Annotated[int, typer.Option(min=1, help="of each mode")] = 100,
    model: ModelName = "nano",
) -> Measured:
    """Processor time of a whole chunk against that of the model's calls in it, asked again with nothing around them.

    A chunk is everything from request to report: noise, conditions, memory and its hash, verification, decoding.
    """
    torch.set_num_threads(1)
    files = ModelFiles.load(model)
    choice = choose(files.backends, load_policy(files.policy), files.policy)
    plan = Plan(files.video_steps, files.action_steps)
    modes = {name: calibrated(name, files.policy, choice.policy, plan) for name in MODES}
    found: dict[str, Any] = {}
    embedding = torch.zeros(choice.policy.model.config.language_width)
    with progress(console, "chunks", chunks * len(modes)) as advance:
        for name, re_entry in modes.items():
            times = list(chunk_times(choice.policy, lambda sentence: embedding, re_entry, plan, chunks))
            found[name] = summarise(times)
            advance(chunks, name)
    report = {"modes": found, "goal": GOAL, "backend": choice.name, "model": model}
    title = f"processor time of a chunk, {choice.name}; goal: ratio at most {GOAL}"
    return Measured(report, [page_tables(report)[0].table(title)])


class RecordedModel:
    """A model that remembers what it was asked; everything else is the model's."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.asked: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if name not in CALLS:
            return found

        def call(*arguments: Any) -> Any:
            self.asked.append((found, arguments))
            return found(*arguments)

        return call

    @torch.inference_mode()
    def ask_again(self) -> None:
        """The same calls with the same arguments, and nothing else."""
        for call, arguments in self.asked:
            call(*arguments)


@dataclass(frozen=True)
class ChunkTime:
    """Processor time [s] of a whole chunk, idle-time work included, and of its `calls` model calls alone."""

    whole: float
    bare: float
    calls: int


def chunk_times(
    policy: Policy, embed: Callable[[str], torch.Tensor], re_entry: ReEntryPolicy, plan: Plan, chunks: int
) -> Iterator[ChunkTime]:
    """One after the other, so that what else the machine does falls on both; after a warm-up."""
    model = RecordedModel(policy.model)
    engine = Engine(replace(policy, model=model), embed, re_entry, plan, time.perf_counter, evidence_fraction=0.0)
    episode = made_up_episode(engine, policy, WARM_UP_CHUNKS + chunks)
    for number in range(WARM_UP_CHUNKS + chunks):
        model.asked.clear()
        began = time.process_time()
        next(episode)
        made = time.process_time()
        model.ask_again()
        asked = time.process_time()
        if number >= WARM_UP_CHUNKS:
            yield ChunkTime(made - began, asked - made, len(model.asked))


def summarise(times: list[ChunkTime]) -> dict[str, float]:
    """Medians in ms, and the median ratio of a whole chunk to its own calls."""
    whole, bare = np.array([one.whole for one in times]), np.array([one.bare for one in times])
    return {
        "chunks": len(times),
        "calls": float(np.median([one.calls for one in times])),
        "chunk_ms": round(1e3 * float(np.median(whole)), 3),
        "bare_ms": round(1e3 * float(np.median(bare)), 3),
        "ratio": round(float(np.median(whole / bare)), 4),
    }


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row per re-entry mode."""
    header = ["mode", "model calls", "whole chunk ms", "its calls alone ms", "ratio"]
    rows = [
        [mode, f"{row['calls']:.0f}", f"{row['chunk_ms']:.1f}", f"{row['bare_ms']:.1f}", f"{row['ratio']:.3f}"]
        for mode, row in report["modes"].items()
    ]
    return [Rows(header, rows)]
