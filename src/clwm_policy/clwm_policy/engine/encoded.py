"""An observation encoded under a memory: what all programs of one chunk begin with, and the model's calls on it.

Functional in the memory that it was given: `write` and `absorb` make new states and leave the given one as it was. What
becomes of the written state is the engine's decision: it is kept as the long-term memory when the observation was real,
and forgotten when it was a prediction. Without gradients only, as under `torch.inference_mode()`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.flow import row_times


class WorldModel(Protocol):
    """The part of `Clwm` that programs use; batch first, normalised units.

    A velocity is its caller's: the next state is written over it, which is memory that the cache holds.
    """

    def encode_context(
        self,
        memory: Any,
        features: Tensor,
        proprioception: Tensor,
        executed: Tensor,
        executed_mask: Tensor,
        language: Tensor,
    ) -> Any: ...

    def encode_with_preview(
        self,
        memory: Any,
        features: Tensor,
        proprioception: Tensor,
        executed: Tensor,
        executed_mask: Tensor,
        language: Tensor,
        x: Tensor,
    ) -> tuple[Any, Tensor]: ...

    def write(self, memory: Any, context: Any) -> Any: ...

    def video_velocity(self, memory: Any, context: Any, x: Tensor, s: Tensor) -> Tensor: ...

    def absorb(self, memory: Any, context: Any, prediction: Tensor) -> tuple[Any, Any]: ...

    def action_velocity(self, memory: Any, context: Any, x: Tensor, s: Tensor) -> Tensor: ...

    def action_preview(
        self, memory: Any, context: Any, prediction: Tensor, x: Tensor, s: Tensor
    ) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class Conditions:
    """What a chunk is conditioned on, observed or predicted, in normalised units.

    features: (1, tokens, channels); proprioception: (1, 60); executed: (1, 12, 30) with executed_mask (1, 12);
    language: (1, width).
    """

    features: Tensor
    proprioception: Tensor
    executed: Tensor
    executed_mask: Tensor
    language: Tensor


@dataclass(frozen=True)
class Draw:
    """What does not depend on the observation: the noise of both stages and the rows already committed.

    video: (1, tokens, channels); action: (1, rows, 30); prefix: (1, p, 30) normalised, clamped while stage 2 is
    integrated.
    """

    video: Tensor
    action: Tensor
    prefix: Tensor


class Encoded:
    """One observation, encoded. nfe: evaluations of the velocity fields so far.

    context: what the model attends to. A working state, below, is a memory and a context that belong together.
    """

    def __init__(self, model: WorldModel, plan: Plan, memory: Any, conditions: Conditions, draw: Draw) -> None:
        self.plan, self.draw, self.nfe = plan, draw, 0
        self._model, self._given = model, memory
        self._written: Any = None
        c = conditions
        self.context = self._encode(c.features, c.proprioception, c.executed, c.executed_mask, c.language)

    def _encode(self, *conditions: Tensor) -> Any:
        return self._model.encode_context(self._given, *conditions)

    @property
    def is_written(self) -> bool:
        return self._written is not None

    def write(self) -> Any:
        """The memory with the observation written to it; the model is called the first time only."""
        if self._written is None:
            self._written = self._model.write(self._given, self.context)
        return self._written

    def again(self, committed: int | None = None) -> Encoded:
        """The same, nothing evaluated. committed: rows of the prefix that its programs are to know, all when None."""
        twin = copy.copy(self)
        twin.nfe, twin.draw = 0, replace(self.draw, prefix=self.draw.prefix[:, :committed])
        return twin

    def video_velocity(self, x: Tensor, s: float) -> Tensor:
        """Of stage 1 at flow time s, under the written memory."""
        self.nfe += 1
        return self._model.video_velocity(self.write(), self.context, x, _time(s, x.shape[0]))

    def absorb(self, prediction: Tensor) -> tuple[Any, Any]:
        """The working state that has taken in a prediction: its only update, at s = 0 of stage 2."""
        return self._model.absorb(self.write(), self.context, prediction)

    def action_velocity(self, working: tuple[Any, Any], x: Tensor, s: float) -> Tensor:
        """Of stage 2 at flow time s; the committed prefix stays where it is."""
        self.nfe += 1
        return self._model.action_velocity(*working, x, self._row_times(s, x))

    def _row_times(self, s: float, x: Tensor) -> Tensor:
        return _row_times(s, self.draw.prefix.shape[1], x.shape[1], x.shape[0])


class Previewed(Encoded):
    """Encoded together with one evaluation of stage 1 at s = 0: what its end would be, seen from its beginning.

    video_preview: (1, tokens, channels), the clean residual believed in.
    """

    video_preview: Tensor

    def _encode(self, *conditions: Tensor) -> Any:
        self.nfe += 1
        context, self.video_preview = self._model.encode_with_preview(self._given, *conditions, self.draw.video)
        return context

    def action_preview(self, memory: Any, prediction: Tensor, x: Tensor) -> tuple[Tensor, Any]:
        """The clean chunk believed in at noise x, and the context joined by a prediction that is not absorbed."""
        self.nfe += 1
        return self._model.action_preview(memory, self.context, prediction, x, self._row_times(0.0, x))


# Every chunk asks for the same times again. What these two return is shared, and not to be changed.
@lru_cache(maxsize=1024)
@torch.inference_mode(False)
def _time(s: float, batch: int) -> Tensor:
    return torch.full((batch,), s)


@lru_cache(maxsize=1024)
@torch.inference_mode(False)
def _row_times(s: float, prefix_rows: int, rows: int, batch: int) -> Tensor:
    return row_times(s, prefix_rows, rows, batch)
