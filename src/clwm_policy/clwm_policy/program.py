"""One chunk as a program of steps, every step's state kept, so that it can be re-entered anywhere.

    encode -> write -> video ODE (N_v steps) -> absorb f^ -> action ODE (N_a steps)

A program is functional in the memory it was given: `write` and `absorb` make new memory states and leave the given one
as it was. What becomes of the written state is the engine's decision: it is kept as the long-term memory when the
observation was real, and forgotten when it was a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import torch
from torch import Tensor

from clwm_policy.flow import clamp_prefix, euler_step, flow_times, row_times
from clwm_policy.re_entry import Plan, Point


class WorldModel(Protocol):
    """The part of `Clwm` that a program uses; batch first, normalised units."""

    def encode_context(
        self,
        memory: Any,
        features: Tensor,
        proprioception: Tensor,
        executed: Tensor,
        executed_mask: Tensor,
        language: Tensor,
    ) -> Any: ...

    def write(self, memory: Any, context: Any) -> Any: ...

    def video_velocity(self, memory: Any, context: Any, x: Tensor, s: Tensor) -> Tensor: ...

    def absorb(self, memory: Any, context: Any, prediction: Tensor) -> tuple[Any, Any]: ...

    def action_velocity(self, memory: Any, context: Any, x: Tensor, s: Tensor) -> Tensor: ...


class Step(Enum):
    """What one call of `Program.advance` did."""

    ENCODE = "encode"
    WRITE = "write"
    VIDEO = "video"
    ABSORB = "absorb"
    ACTION = "action"


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


class Program:
    """The steps of one chunk under one set of conditions."""

    def __init__(self, model: WorldModel, plan: Plan, memory: Any, conditions: Conditions, draw: Draw) -> None:
        self._model = model
        self._plan = plan
        self._given = memory
        self._conditions = conditions
        self._draw = draw
        self._prefix = draw.prefix
        self._video_times = flow_times(plan.video_steps)
        self._action_times = flow_times(plan.action_steps)
        self._context: Any = None
        self._written: Any = None
        self._working: tuple[Any, Any] | None = None
        self._tried: tuple[Tensor, tuple[Any, Any]] | None = None
        self._prediction: Tensor | None = None
        self._video = [draw.video]
        self._action = [clamp_prefix(draw.action, draw.prefix)]
        self.nfe = 0

    @property
    def point(self) -> Point:
        """Steps of both integrations whose result is there, made here or taken over."""
        return Point(
            self._plan.video_steps if self._prediction is not None else len(self._video) - 1, len(self._action) - 1
        )

    @property
    def written(self) -> Any:
        """The memory after the observation was written to it; None before the write step."""
        return self._written

    @property
    def prediction(self) -> Tensor | None:
        """(1, tokens, channels) normalised residual to the next observation that stage 2 uses; None while unknown."""
        return self._prediction

    @property
    def own_prediction(self) -> Tensor | None:
        """The residual that stage 1 gave under this program's own context; None until `predict` has finished."""
        return self._video[-1] if len(self._video) > self._plan.video_steps else None

    @property
    def rows(self) -> Tensor | None:
        """(1, rows, 30) normalised chunk; None until the last step is done."""
        return self._action[-1] if len(self._action) > self._plan.action_steps else None

    def advance(self) -> Step | None:
        """Run the next step; None when the chunk is complete."""
        if self._context is None:
            c = self._conditions
            self._context = self._model.encode_context(
                self._given, c.features, c.proprioception, c.executed, c.executed_mask, c.language
            )
            return Step.ENCODE
        if self._written is None:
            self._written = self._model.write(self._given, self._context)
            return Step.WRITE
        if self._prediction is None:
            self.predict()
            self._prediction = self.own_prediction
            return Step.VIDEO
        if self.rows is not None:
            return None
        if self._working is None:
            # The only update of the working state, at s = 0 of stage 2; it is frozen while the ODE is integrated.
            self._working = self._model.absorb(self._written, self._context, self._prediction)
            return Step.ABSORB
        self._action_step()
        return Step.ACTION

    def predict(self) -> bool:
        """Run one step of stage 1 under this program's own context; False when it has none left or is not yet written.

        Also continues a stage 1 that a take-over skipped: that is how the next surrogate is grounded in idle time.
        """
        done = len(self._video) - 1
        if self._written is None or done >= self._plan.video_steps:
            return False
        x, s = self._video[-1], self._video_times[done]
        velocity = self._model.video_velocity(self._written, self._context, x, torch.full((x.shape[0],), s))
        self._video.append(euler_step(x, velocity, s, self._video_times[done + 1]))
        self.nfe += 1
        return True

    def is_finite(self, point: Point) -> bool:
        """Whether every number that a take-over at `point` would keep is finite."""
        if point.video < self._plan.video_steps:
            return bool(torch.isfinite(self._video[point.video]).all())
        kept = (self._prediction, self._action[point.action])
        return all(bool(torch.isfinite(tensor).all()) for tensor in kept)

    def take_over(self, other: Program, point: Point) -> None:
        """Resume at `point` of `other`, a program of the same draw: its ODE states are kept, its context is not.

        Past stage 1 the prediction is kept, and absorbed anew by this program's own working state.
        Raises ValueError when `other` has not reached `point` or this program is already past it.
        """
        if point.video > other.point.video or point.action > other.point.action:
            raise ValueError(f"cannot resume at {point}; the other program only reached {other.point}")
        if self.point != Point():
            raise ValueError(f"cannot take over at {point}; this program has already reached {self.point}")
        if point.video < self._plan.video_steps:
            self._video = other._video[: point.video + 1]
            return
        self._prediction = other._prediction
        self._action = other._action[: point.action + 1]
        if self._tried is not None and self._tried[0] is other._prediction:
            self._working = self._tried[1]

    def strayed(self, other: Program, steps: Sequence[int]) -> Tensor:
        """How far the chunk that stage 2 heads for lies, under this program's context, from where `other` headed.

        steps: indices of stored stage 2 states of `other`, which must have made the step from each. All are evaluated
        in one call, on the prediction of `other`, absorbed under this context. Returns (n, rows, 30) normalised,
        zero on the committed prefix. Raises ValueError when `other` has not got so far or this program is not written.
        """
        if self._written is None:
            raise ValueError("the observation must be written before a speculation can be held against it")
        if not steps or min(steps) < 0 or max(steps) >= len(other._action) - 1:
            raise ValueError(f"cannot compare at steps {tuple(steps)}; the other program only reached {other.point}")
        memory, context = self._model.absorb(self._written, self._context, other._prediction)
        self._tried = other._prediction, (memory, context)
        x = torch.cat([other._action[step] for step in steps])
        headed = torch.cat([other._action[step + 1] for step in steps])
        s = torch.tensor([self._action_times[step] for step in steps])[:, None]
        following = torch.tensor([self._action_times[step + 1] for step in steps])[:, None, None]
        times = s.repeat(1, x.shape[1])
        times[:, : self._prefix.shape[1]] = 1.0
        velocity = self._model.action_velocity(memory, context, x, times)
        self.nfe += len(steps)
        # `other` stored its steps, not its velocities; on the straight path x + (1-s) v is where v heads for.
        s = s[..., None]
        difference = (1.0 - s) * (velocity - (headed - x) / (following - s))
        difference[:, : self._prefix.shape[1]] = 0.0
        return difference

    def again(self) -> Program:
        """The same observation, encoded and written, before any integration: to try other points of re-entry."""
        twin = Program(self._model, self._plan, self._given, self._conditions, self._draw)
        twin._context, twin._written = self._context, self._written
        return twin

    def _action_step(self) -> None:
        done = len(self._action) - 1
        x, s = self._action[-1], self._action_times[done]
        memory, context = self._working
        times = row_times(s, self._prefix.shape[1], x.shape[1], x.shape[0])
        velocity = self._model.action_velocity(memory, context, x, times)
        x = euler_step(x, velocity, s, self._action_times[done + 1])
        self._action.append(clamp_prefix(x, self._prefix))
        self.nfe += 1
