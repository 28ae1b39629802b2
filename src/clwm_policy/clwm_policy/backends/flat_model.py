"""The model's interface, with every call handed, flat, to whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from clwm_policy.backends.calls import CALLS, Groups, flatten, unflatten
from clwm_policy.memory import MemoryState
from clwm_policy.model import Clwm, Context

Runner = Callable[[str, list[Tensor]], Sequence[Tensor]]


class FlatModel:
    """Stands in for `Clwm` where a chunk is made: one observation at a time, the same calls, the same meaning.

    run: name of a call and its flattened tensors to the flattened tensors it gives; on return they are the caller's.
    """

    def __init__(self, model: Clwm, run: Runner) -> None:
        self.config = model.config
        self._initial = model.initial_memory(1).detach()
        self.run = run

    def initial_memory(self, batch: int) -> MemoryState:
        """W0. Raises ValueError for more than one entry: this model makes chunks, it is not trained."""
        if batch != 1:
            raise ValueError(f"initial memory for a batch of {batch}; a backend holds one")
        return self._initial

    def encode_context(self, memory: MemoryState, *observation: Tensor) -> Context:
        """See `Clwm.encode_context`."""
        names = CALLS["encode_context"].takes[1:]
        given = self._call("encode_context", memory=memory.layers, **dict(zip(names, observation, strict=True)))
        return Context(given["past"], given["absorbed"], given["patches"])

    def write(self, memory: MemoryState, context: Context) -> MemoryState:
        """See `Clwm.write`."""
        given = self._call("write", memory=memory.layers, absorbed=context.absorbed)
        return MemoryState(given["memory"], memory.updates + 1)

    def video_velocity(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """See `Clwm.video_velocity`."""
        return self._call(
            "video_velocity", memory=memory.layers, past=context.past, patches=context.patches, video=x, video_time=s
        )["velocity"]

    def absorb(self, memory: MemoryState, context: Context, prediction: Tensor) -> tuple[MemoryState, Context]:
        """See `Clwm.absorb`."""
        given = self._call(
            "absorb", memory=memory.layers, past=context.past, patches=context.patches, prediction=prediction
        )
        working = MemoryState(given["memory"], memory.updates + 1)
        return working, Context(given["joined"], context.absorbed, context.patches)

    def action_velocity(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """See `Clwm.action_velocity`; x may hold several entries for the one context, which are run in turn."""
        return torch.cat(
            [
                self._call(
                    "action_velocity", memory=memory.layers, joined=context.past, action=rows, row_times=times
                )["velocity"]
                for rows, times in zip(x.split(1), s.split(1), strict=True)
            ]
        )

    def _call(self, name: str, **groups: Any) -> Groups:
        call = CALLS[name]
        return unflatten(call.gives, self.run(name, flatten(call.takes, groups)), self.config.layers)
