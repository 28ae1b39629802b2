"""What remembering costs: time and bytes per chunk against the number of observations that were taken in."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_policy.engine.encoded import Conditions, Draw, Encoded
from clwm_policy.engine.program import Sequential
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.flow import noise

MADE_UP = 64  # observations that a stream is made of, over and over
COMPARED = 1000  # chunks at either end of a long run
_PREFIX = 4


class Stream:
    """Chunks of one endless episode: made-up observations, the same for every model and every run of a seed."""

    def __init__(self, model: Clwm, plan: Plan, seed: int = 0) -> None:
        config, generator = model.config, torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        self._model, self._plan, self._seed = model, plan, seed
        self._language = draw(1, config.language_width)
        self._observations = [
            Conditions(
                draw(1, config.visual_tokens, config.feature_channels),
                draw(1, config.proprioception_width),
                draw(1, 12, config.action_dim),
                torch.ones(1, 12, dtype=torch.bool),
                self._language,
            )
            for _ in range(MADE_UP)
        ]
        self._prefix = draw(1, _PREFIX, config.action_dim)
        self._video = (1, config.visual_tokens, config.feature_channels)
        self._action = (1, config.chunk_rows, config.action_dim)
        self.start()

    def start(self) -> None:
        """Forget everything: the episode begins again."""
        self.memory = self._model.initial_memory(1)
        self.taken_in = 0

    @torch.inference_mode()
    def observe(self) -> None:
        """Take in the next observation without making a chunk."""
        c = self._observations[self.taken_in % MADE_UP]
        context = self._model.encode_context(
            self.memory, c.features, c.proprioception, c.executed, c.executed_mask, c.language
        )
        self.memory = self._model.write(self.memory, context)
        self.taken_in += 1

    @torch.inference_mode()
    def fill(self, wanted: int) -> None:
        """Bring the memory to the size it has after `wanted` observations, without what they had to attend to."""
        missing, first = wanted - self.taken_in, self._model.initial_memory(1)
        contexts = [
            self._model.encode_context(first, c.features, c.proprioception, c.executed, c.executed_mask, c.language)
            for c in self._observations
        ]
        if isinstance(self._model, KvClwm):
            # All at once: one by one, copying would take longer than everything that is measured.
            self.memory = self._model.write(self.memory, joined([contexts[n % MADE_UP] for n in range(missing)]))
        else:
            for index in range(missing):
                self.memory = self._model.write(self.memory, contexts[index % MADE_UP])
        self.taken_in = wanted

    @torch.inference_mode()
    def chunk(self) -> Tensor:
        """Take in the next observation and make the whole chunk that answers it."""
        draw = Draw(
            noise(self._seed, self.taken_in, self._video, "video"),
            noise(self._seed, self.taken_in, self._action, "action"),
            self._prefix,
        )
        conditions = self._observations[self.taken_in % MADE_UP]
        program = Sequential(Encoded(self._model, self._plan, self.memory.fork(), conditions, draw))
        while program.advance() is not None:
            pass
        self.memory = program.encoded.write()
        self.taken_in += 1
        return program.rows


def cost_at(
    model: Clwm, plan: Plan, steps: tuple[int, ...], chunks: int, on_chunk: Callable[[int], None], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Milliseconds (processor time, median of `chunks`) of a chunk and bytes of memory, after each of `steps`."""
    stream, found = Stream(model, plan, seed), {}
    for wanted in steps:
        stream.fill(wanted)
        held, taken_in = stream.memory, stream.taken_in
        times = []
        for _ in range(chunks):
            began = time.process_time()
            stream.chunk()
            times.append(time.process_time() - began)
            # Every chunk is measured on the same history.
            stream.memory, stream.taken_in = held, taken_in
            on_chunk(wanted)
        found[str(wanted)] = {
            "chunk_ms": round(1e3 * float(np.median(times)), 3),
            "state_bytes": held.nbytes,
        }
    return found


@dataclass(frozen=True)
class Moment:
    """How a long run stood after `updates` observations. resident_mb: of the process. norms: of W, two per layer."""

    updates: int
    resident_mb: float
    norms: tuple[float, ...]


class LongRun:
    """`updates` observations; the first and the last 1,000, which are compared, with the whole chunk that answers them.

    After each of these chunks, an episode that has only begun makes one as well: what the machine does meanwhile falls
    on both. `moments` and `seconds` fill while it is iterated.
    """

    def __init__(
        self, model: Clwm, plan: Plan, updates: int, every: int, seed: int = 0, compared: int = COMPARED
    ) -> None:
        """Raises ValueError when there are too few updates to compare the first 1,000 with the last."""
        if updates < 10:
            raise ValueError(f"{updates} updates; expected at least 10")
        self._stream, self._updates, self._every = Stream(model, plan, seed), updates, every
        self._fresh = Stream(model, plan, seed + 1)
        self._span = min(compared, updates // 2)
        # Allocated before the first moment: the run's own record must not look like a growth.
        self.seconds = np.zeros(updates)
        self.fresh_seconds = np.zeros(updates)
        self.moments: list[Moment] = []
        self._settled_mb = 0.0

    def __iter__(self) -> Iterator[int]:
        """Yields the number of updates done, at every moment that was recorded."""
        for index in range(self._updates):
            done = index + 1
            if self._span < done <= self._updates - self._span:
                self._stream.observe()
            else:
                began = time.process_time()
                self._stream.chunk()
                made = time.process_time()
                self._fresh.start()
                self._fresh.chunk()
                self.seconds[index], self.fresh_seconds[index] = made - began, time.process_time() - made
            if done == self._span:
                self._settled_mb = resident_mb()
            if done % self._every == 0 or done == self._updates:
                self.moments.append(Moment(done, resident_mb(), self._norms()))
                yield done

    def report(self) -> dict[str, Any]:
        """`resident_growth_mb` after the first 1,000 chunks; `latency_last_over_first` of medians of 1,000 chunks.

        The latter is divided by the same ratio of the episodes that had only begun: a machine that became busier in
        between is no slower memory. The four medians are in the report.
        """
        first, last = _medians(self.seconds, self._span)
        fresh_first, fresh_last = _medians(self.fresh_seconds, self._span)
        norms = np.array([moment.norms for moment in self.moments])
        return {
            "updates": self._updates,
            "compared_chunks": self._span,
            "resident_growth_mb": round(resident_mb() - self._settled_mb, 3),
            "latency_first_ms": round(1e3 * first, 3),
            "latency_last_ms": round(1e3 * last, 3),
            "fresh_first_ms": round(1e3 * fresh_first, 3),
            "fresh_last_ms": round(1e3 * fresh_last, 3),
            "latency_last_over_first": round((last / first) / (fresh_last / fresh_first), 4),
            "state_bytes": self._stream.memory.nbytes,
            "norm_max": round(float(norms.max()), 4),
            "moments": [
                {"updates": m.updates, "resident_mb": round(m.resident_mb, 3), "norms": [round(n, 4) for n in m.norms]}
                for m in self.moments
            ],
        }

    def _norms(self) -> tuple[float, ...]:
        return tuple(float(w.norm()) for pair in self._stream.memory.layers for w in pair)


def _medians(seconds: np.ndarray, span: int) -> tuple[float, float]:
    """Medians of the first and of the last `span`."""
    return float(np.median(seconds[:span])), float(np.median(seconds[-span:]))


def joined(contexts: list[Context]) -> Context:
    """One context with the keys and values of all, layer by layer."""
    layers = zip(*(context.past for context in contexts), strict=True)
    past = tuple(
        (torch.cat([keys for keys, _ in layer], dim=2), torch.cat([values for _, values in layer], dim=2))
        for layer in layers
    )
    return Context(past, contexts[0].absorbed, contexts[0].patches)


def resident_mb() -> float:
    """Resident memory of this process in MiB, after garbage was collected; NaN where /proc does not tell."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
