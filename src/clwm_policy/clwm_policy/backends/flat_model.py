"""The model's interface, with every call handed, flat, to whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from clwm_policy.backends.calls import CALLS, OBSERVATION, Groups, flatten, unflatten
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm, Context

Runner = Callable[[str, list[Tensor]], Sequence[Tensor]]


class FlatModel:
    """Stands in for `Clwm` where a chunk is made: one observation at a time, the same calls, the same meaning.

    run: name of a call and its flattened tensors to the flattened tensors it gives; on return they are the caller's.
    backend: its name, then all that may change the last bits of a result. tolerance: largest accepted difference from
    torch in float32, relative to the largest number of a result, at least to 1.
    """

    def __init__(self, model: Clwm, run: Runner, backend: str, tolerance: float = 1e-4) -> None:
        self.config = model.config
        self._initial = model.initial_memory(1).detach()
        self.run = run
        self.backend = backend
        self.tolerance = tolerance

    def initial_memory(self, batch: int) -> MemoryState:
        """W0. Raises ValueError for more than one entry: this model makes chunks, it is not trained."""
        if batch != 1:
            raise ValueError(f"initial memory for a batch of {batch}; a backend holds one")
        return self._initial

    def encode_context(self, memory: MemoryState, *observation: Tensor) -> Context:
        """See `Clwm.encode_context`."""
        observed = dict(zip(OBSERVATION, observation, strict=True))
        given = self._call("encode_context", memory=memory.layers, **observed)
        return Context(given["past"], given["absorbed"], given["patches"])

    def encode_with_preview(self, memory: MemoryState, *observation_and_noise: Tensor) -> tuple[Context, Tensor]:
        """See `Clwm.encode_with_preview`."""
        *observation, x = observation_and_noise
        observed = dict(zip(OBSERVATION, observation, strict=True))
        given = self._call("encode_with_preview", memory=memory.layers, **observed, video=x)
        return Context(given["past"], given["absorbed"], given["patches"]), given["residual"]

    def write(self, memory: MemoryState, context: Context) -> MemoryState:
        """See `Clwm.write`."""
        given = self._call("write", memory=memory.layers, absorbed=context.absorbed)
        return MemoryState(given["memory"], memory.updates + 1)

    def video_velocity(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """See `Clwm.video_velocity`."""
        return self._call("video_velocity", **_seen(memory, context), video=x, video_time=s)["velocity"]

    def absorb(self, memory: MemoryState, context: Context, prediction: Tensor) -> tuple[MemoryState, Context]:
        """See `Clwm.absorb`."""
        given = self._call("absorb", **_seen(memory, context), prediction=prediction)
        working = MemoryState(given["memory"], memory.updates + 1)
        return working, Context(given["joined"], context.absorbed, context.patches)

    def action_preview(
        self, memory: MemoryState, context: Context, prediction: Tensor, x: Tensor, s: Tensor
    ) -> tuple[Tensor, Context]:
        """See `Clwm.action_preview`."""
        given = self._call(
            "action_preview",
            **_seen(memory, context),
            prediction=prediction,
            action=x,
            row_times=s,
        )
        return given["rows"], Context(given["joined"], context.absorbed, context.patches)

    def action_velocity(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """See `Clwm.action_velocity`."""
        given = self._call("action_velocity", memory=memory.layers, joined=context.past, action=x, row_times=s)
        return given["velocity"]

    def _call(self, name: str, **groups: Any) -> Groups:
        call = CALLS[name]
        return unflatten(call.gives, self.run(name, flatten(call.takes, groups)), self.config.layers)


def _seen(memory: MemoryState, context: Context) -> Groups:
    return {"memory": memory.layers, "past": context.past, "patches": context.patches}
