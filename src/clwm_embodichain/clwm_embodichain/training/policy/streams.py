"""Where a trainer's observations come from: walks through episodes, side by side, one horizon at a time.

A stream's memory is carried on through its episode, so a stream stays with one until its end and then begins another,
at a random phase.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from clwm_embodichain.training.policy.samples import Samples, concatenate

STRIDE = 3  # observations of an episode per horizon


@dataclass(frozen=True)
class StreamStep:
    """What all streams show at one step. future: (streams, tokens, C) float32, the features one horizon later; fresh:
    (streams,) bool, an episode begins and with it a new memory.
    """

    batch: Samples
    future: Tensor
    fresh: Tensor

    def part(self, index: int, count: int) -> StreamStep:
        """Of `count` equal ones; the streams of a part are always the same."""
        size = len(self.fresh) // count
        rows = slice(index * size, (index + 1) * size)
        return StreamStep(self.batch.take(rows), self.future[rows], self.fresh[rows])

    def to(self, device: torch.device) -> StreamStep:
        return StreamStep(self.batch.to(device), self.future.to(device), self.fresh.to(device))


class ObservationStreams(Protocol):
    """`state` and `resume` let an interrupted training go on; resume is False when the streams start afresh instead.

    walks: through episodes, begun so far. begin_anew: every stream begins another episode with the next step.
    """

    walks: int

    def next(self) -> StreamStep: ...

    def state(self) -> dict[str, Any]: ...

    def resume(self, state: dict[str, Any]) -> bool: ...

    def begin_anew(self) -> None: ...


class RecordedStreams:
    """Walks through the same recorded episodes for ever; tasks are drawn equally often."""

    def __init__(self, samples: Samples, count: int, seed: int) -> None:
        self._samples = samples
        self.generator = np.random.default_rng(seed)
        starts = torch.unique(samples.first)
        self._starts = [starts[samples.task[starts] == task].numpy() for task in torch.unique(samples.task)]
        self.walks = 0
        self._count = count
        self.begin_anew()

    def begin_anew(self) -> None:
        self.index = np.array([self._begin() for _ in range(self._count)])
        self._fresh = np.ones(self._count, dtype=bool)

    def _begin(self) -> int:
        self.walks += 1
        start = int(self.generator.choice(self._starts[self.generator.integers(len(self._starts))]))
        return min(start + int(self.generator.integers(STRIDE)), int(self._samples.last[start]))

    def next(self) -> StreamStep:
        index, fresh = torch.from_numpy(self.index.copy()), torch.from_numpy(self._fresh.copy())
        following = self.index + STRIDE
        over = following > self._samples.last[index].numpy()
        self.index = np.array([self._begin() if o else f for o, f in zip(over, following, strict=True)])
        self._fresh = over
        batch = self._samples.take(index)
        return StreamStep(batch, self._samples.features[batch.following].float(), fresh)

    def state(self) -> dict[str, Any]:
        """Where every stream is and what it will draw next, in tensors and numbers."""
        # PCG64's state are 128-bit integers; as text they pass through any reader.
        return {
            "index": torch.from_numpy(self.index.copy()),
            "fresh": torch.from_numpy(self._fresh.copy()),
            "samples": len(self._samples),
            "walks": self.walks,
            "generator": json.dumps(self.generator.bit_generator.state),
        }

    def resume(self, state: dict[str, Any]) -> bool:
        """Go on from `state`. False when the data has grown since, or was streamed: the streams then start afresh."""
        if state.get("samples") != len(self._samples):
            return False
        self.index, self._fresh = state["index"].numpy().copy(), state["fresh"].numpy().copy()
        self.generator.bit_generator.state = json.loads(state["generator"])
        self.walks = int(state["walks"])
        return True


class MixedStreams:
    """Those of several sources side by side, one after the other in every batch."""

    def __init__(self, *parts: ObservationStreams) -> None:
        self._parts = parts

    @property
    def walks(self) -> int:
        return sum(part.walks for part in self._parts)

    def next(self) -> StreamStep:
        steps = [part.next() for part in self._parts]
        batch = concatenate([step.batch for step in steps])
        future, fresh = (torch.cat([getattr(step, name) for step in steps]) for name in ("future", "fresh"))
        return StreamStep(batch, future, fresh)

    def state(self) -> dict[str, Any]:
        """Of each part."""
        return {"parts": [part.state() for part in self._parts]}

    def resume(self, state: dict[str, Any]) -> bool:
        """False when one part starts afresh: then all do, since nobody keeps a memory for the others' episodes."""
        parts = state.get("parts", [])
        if len(parts) == len(self._parts) and all(
            [part.resume(one) for part, one in zip(self._parts, parts, strict=True)]
        ):
            return True
        self.begin_anew()
        return False

    def begin_anew(self) -> None:
        for part in self._parts:
            part.begin_anew()


class OnlineStreams:
    """Walks through whatever `draw` gives next: the samples of one whole trajectory. `draw` may wait for it."""

    def __init__(self, draw: Callable[[], Samples], count: int, seed: int) -> None:
        self._draw = draw
        self._generator = np.random.default_rng(seed)
        self._walks: list[tuple[Samples, int]] | None = None
        self._count = count
        self.walks = 0

    def _begin(self) -> tuple[Samples, int]:
        self.walks += 1
        samples = self._draw()
        return samples, min(int(self._generator.integers(STRIDE)), len(samples) - 1)

    def next(self) -> StreamStep:
        if self._walks is None:
            self._walks = [self._begin() for _ in range(self._count)]
            fresh = [True] * self._count
        else:
            going_on = [(samples, index + STRIDE) for samples, index in self._walks]
            fresh = [index >= len(samples) for samples, index in going_on]
            self._walks = [self._begin() if over else walk for over, walk in zip(fresh, going_on, strict=True)]
        batch = concatenate([samples.take(torch.tensor([index])) for samples, index in self._walks])
        future = torch.stack([samples.features[samples.following[index]] for samples, index in self._walks])
        return StreamStep(batch, future.float(), torch.tensor(fresh))

    def begin_anew(self) -> None:
        self._walks = None

    def state(self) -> dict[str, Any]:
        """Nothing that matters: what was walked through is gone, and new trajectories follow."""
        return {}

    def resume(self, state: dict[str, Any]) -> bool:
        """Always False: the streams start afresh."""
        return False
