"""How much of a chunk's time is the engine's own: whole chunks against nothing but the model's calls that they make."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Plan, ReEntryPolicy
from clwm_policy.loading import WARM_UP_CHUNKS, made_up_episode
from clwm_policy.model.checkpoint import Policy

CALLS = (
    "encode_context",
    "encode_with_preview",
    "write",
    "video_velocity",
    "absorb",
    "action_velocity",
    "action_preview",
)


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
