"""One chunk as a program of steps, every step's state kept, so that it can be re-entered anywhere.

    encode -> write -> video ODE (N_v steps) -> absorb f^ -> [preview] -> action ODE (N_a steps)

A program made with `previews` also evaluates either stage once at s = 0, fused with work that is done anyway. That is a
coarse propagator G of the whole program; what is integrated step by step is the fine one, F. Another program of the
same draw can then be completed by one Parareal iteration (Lions, Maday, Turinici 2001),
F(predicted) + G(true) - G(predicted): `correction`; or by a few of them: `refine`.

A program is functional in the memory it was given: `write` and `absorb` make new memory states and leave the given one
as it was. What becomes of the written state is the engine's decision: it is kept as the long-term memory when the
observation was real, and forgotten when it was a prediction. It makes chunks, it is not trained through: without
gradients only, as under `torch.inference_mode()`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from clwm_policy.engine.re_entry import Plan, Point
from clwm_policy.engine.refinement import Evaluations, Refinement, refinements
from clwm_policy.model.flow import clamp_prefix, euler_step, flow_times, row_times, subdivide


class WorldModel(Protocol):
    """The part of `Clwm` that a program uses; batch first, normalised units.

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


class Step(Enum):
    """What one call of `Program.advance` did."""

    ENCODE = "encode"
    WRITE = "write"
    VIDEO = "video"
    ABSORB = "absorb"
    PREVIEW = "preview"
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


@dataclass(frozen=True)
class _Verified:
    """A finished draft held against the true context. context: the true one, joined by `prediction`."""

    draft: Program
    prediction: Tensor
    context: Any
    correction: Tensor


class Program:
    """The steps of one chunk under one set of conditions. previews: also make what `correction` compares."""

    def __init__(
        self, model: WorldModel, plan: Plan, memory: Any, conditions: Conditions, draw: Draw, previews: bool = False
    ) -> None:
        self._model = model
        self._plan = plan
        self._given = memory
        self._conditions = conditions
        self._draw = draw
        self._prefix = draw.prefix
        self._previews = previews
        self._video_times = flow_times(plan.video_steps)
        self._action_times = flow_times(plan.action_steps)
        self._context: Any = None
        self._written: Any = None
        self._working: tuple[Any, Any] | None = None
        self._verified: _Verified | None = None
        self._evaluations: Evaluations | None = None
        self._refined_video: Refinement | None = None
        self._refined_action: Refinement | None = None
        self._prediction: Tensor | None = None
        self._video_preview: Tensor | None = None
        self._action_preview: Tensor | None = None
        self._video = [draw.video]
        self._action = [clamp_prefix(draw.action, draw.prefix)]
        self.nfe = 0
        self.steps_cut = 0

    @property
    def point(self) -> Point:
        """Steps of both integrations whose result is there, made here or taken over."""
        return Point(
            self._plan.video_steps if self._prediction is not None else len(self._video) - 1, len(self._action) - 1
        )

    @property
    def is_verifiable(self) -> bool:
        """Whether another program of the same draw can be held against this one."""
        return self._action_preview is not None and self.rows is not None

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
        return self._video[-1] if len(self._video) == len(self._video_times) else None

    @property
    def rows(self) -> Tensor | None:
        """(1, rows, 30) normalised chunk; None until the last step is done."""
        if self._evaluations is not None:
            return None if self._refined_action is None else self._refined_action.result
        return self._action[-1] if len(self._action) == len(self._action_times) else None

    def advance(self) -> Step | None:
        """Run the next step; None when the chunk is complete. A draft's stage 2 is refined before the write."""
        if self._context is None:
            self._encode()
            return Step.ENCODE
        if self.rows is not None:
            return None
        if self._evaluations is not None:
            return self._refine_step(self._evaluations, self._verified)
        if self._working is None:
            if self._written is None:
                self.write()
                return Step.WRITE
            if self._prediction is None:
                self.predict()
                self._prediction = self.own_prediction
                return Step.VIDEO
            # The only update of the working state, at s = 0 of stage 2; it is frozen while the ODE is integrated.
            self._working = self._model.absorb(self._written, self._context, self._prediction)
            return Step.ABSORB
        if self._previews and self._action_preview is None and self._verified is None:
            self._action_preview, _ = self._preview(self._working[0], self._prediction)
            return Step.PREVIEW
        self._action_step()
        return Step.ACTION

    def write(self) -> None:
        """Write the observation, if that is not done yet. Raises ValueError before it is encoded."""
        if self._context is None:
            raise ValueError("an observation must be encoded before it can be written")
        if self._written is None:
            self._written = self._model.write(self._given, self._context)

    def predict(self) -> bool:
        """Run one step of stage 1 under this program's own context; False when it has none left or is not yet written.

        Also continues a stage 1 that a take-over skipped: that is how the next surrogate is grounded in idle time.
        """
        done = len(self._video) - 1
        if self._written is None or done >= len(self._video_times) - 1:
            return False
        x, s = self._video[-1], self._video_times[done]
        velocity = self._model.video_velocity(self._written, self._context, x, _time(s, x.shape[0]))
        self._video.append(euler_step(x, velocity, s, self._video_times[done + 1], out=velocity))
        self.nfe += 1
        return True

    def is_finite(self) -> bool:
        """Whether every number that a take-over would keep is finite; what spoils a state spoils all later ones."""
        if self._prediction is None:
            return bool(torch.isfinite(self._video[-1]).all())
        return all(bool(torch.isfinite(tensor).all()) for tensor in (self._prediction, self._action[-1]))

    def take_over(self, other: Program, point: Point) -> None:
        """Resume at `point` of `other`, a program of the same draw: its ODE states are kept, its context is not.

        Past stage 1 the prediction is kept, and absorbed anew by this program's own working state. Raises ValueError
        when `other` has not reached `point`, or when this program is already past it.
        """
        if point.video > other.point.video or point.action > other.point.action:
            raise ValueError(f"cannot resume at {point}; the other program only reached {other.point}")
        self._check_unbegun(point)
        if point.video < self._plan.video_steps:
            self._video = other._video[: point.video + 1]
            return
        self._prediction = other._prediction
        self._action = other._action[: point.action + 1]

    def correction(self, draft: Program) -> Tensor:
        """What one Parareal iteration adds to the finished chunk of `draft`: G(true) - G(predicted).

        Returns (1, rows, 30) normalised, zero on the committed prefix. Raises ValueError when `draft` cannot be
        verified, or this program has no preview of its own.
        """
        if self._video_preview is None or not draft.is_verifiable:
            raise ValueError(f"cannot verify a draft that only reached {draft.point}, or without previews of both")
        self._verified = self._hold_against(draft, draft._prediction + (self._video_preview - draft._video_preview))
        return self._verified.correction

    def refine(self, point: Point) -> None:
        """Complete the draft that `correction` verified, by the evaluations of `refinements` at `point`.

        The working state is that of the draft: it has absorbed the same prediction but for the correction. Raises
        ValueError when nothing was verified, for a point without evaluations, or when this program has begun.
        """
        ways = refinements(self._plan)
        if self._verified is None or point not in ways:
            raise ValueError(f"cannot refine at {point}; expected a verified draft and one of {list(ways)}")
        self._check_unbegun(point)
        self._evaluations = ways[point]
        if self._evaluations.video:
            draft = self._verified.draft
            change = self._verified.prediction - draft._prediction
            self._refined_video = Refinement(draft._video, draft._video_times, change, self._evaluations.video)
        else:
            self._prediction = self._verified.prediction
            self._begin_stage_2(self._verified)

    def shorten(self, video_steps: int, action_steps: int) -> None:
        """Take at most so many further steps of each stage, larger ones, at least one where any is left."""
        planned = len(self._video_times) + len(self._action_times)
        if self._prediction is None:
            self._video_times = _shortened(self._video_times, len(self._video) - 1, video_steps)
        self._action_times = _shortened(self._action_times, len(self._action) - 1, action_steps)
        self.steps_cut += planned - len(self._video_times) - len(self._action_times)

    def again(self, previews: bool = True, committed: int | None = None) -> Program:
        """The same observation, encoded, before any integration: to try other points of re-entry, or another prefix.

        previews: False when the twin will not be held against another program. committed: rows of the prefix that the
        twin is to know, all when None.
        """
        draw = replace(self._draw, prefix=self._draw.prefix[:, :committed])
        twin = Program(self._model, self._plan, self._given, self._conditions, draw, self._previews and previews)
        twin._context, twin._written, twin._video_preview = self._context, self._written, self._video_preview
        return twin

    def _encode(self) -> None:
        c = self._conditions
        given = (self._given, c.features, c.proprioception, c.executed, c.executed_mask, c.language)
        if self._previews:
            self._context, self._video_preview = self._model.encode_with_preview(*given, self._draw.video)
            self.nfe += 1
        else:
            self._context = self._model.encode_context(*given)

    def _preview(self, memory: Any, prediction: Tensor) -> tuple[Tensor, Any]:
        x = self._action[0]
        self.nfe += 1
        times = _row_times(0.0, self._prefix.shape[1], x.shape[1], x.shape[0])
        return self._model.action_preview(memory, self._context, prediction, x, times)

    def _hold_against(self, draft: Program, prediction: Tensor) -> _Verified:
        clean, context = self._preview(draft._working[0], prediction)
        difference = clean - draft._action_preview
        difference[:, : self._prefix.shape[1]] = 0.0
        return _Verified(draft, prediction, context, difference)

    def _refine_step(self, evaluations: Evaluations, verified: _Verified) -> Step:
        if self._prediction is None:
            if self._written is None:
                self.write()
                return Step.WRITE
            x, s = self._refined_video.pending
            self._refined_video.renew(self._model.video_velocity(self._written, self._context, x, _time(s, x.shape[0])))
            self.nfe += 1
            self._prediction = self._refined_video.result
            return Step.VIDEO
        if self._refined_action is None:
            self._begin_stage_2(self._hold_against(verified.draft, self._prediction))
            return Step.PREVIEW
        self._refined_action.renew(self._action_velocity(*self._refined_action.pending))
        return Step.ACTION

    def _begin_stage_2(self, verified: _Verified) -> None:
        draft = verified.draft
        self._working = draft._working[0], verified.context
        self._refined_action = Refinement(
            draft._action, draft._action_times, verified.correction, self._evaluations.action
        )

    def _check_unbegun(self, point: Point) -> None:
        if self.point != Point() or self._evaluations is not None:
            raise ValueError(f"cannot resume at {point}; this program has already begun, at {self.point}")

    def _action_step(self) -> None:
        done = len(self._action) - 1
        x, s = self._action[-1], self._action_times[done]
        velocity = self._action_velocity(x, s)
        x = euler_step(x, velocity, s, self._action_times[done + 1], out=velocity)
        x[:, : self._prefix.shape[1]] = self._prefix
        self._action.append(x)

    def _action_velocity(self, x: Tensor, s: float) -> Tensor:
        memory, context = self._working
        self.nfe += 1
        times = _row_times(s, self._prefix.shape[1], x.shape[1], x.shape[0])
        return self._model.action_velocity(memory, context, x, times)


# Every chunk asks for the same times again. What these two return is shared, and not to be changed.
@lru_cache(maxsize=1024)
@torch.inference_mode(False)
def _time(s: float, batch: int) -> Tensor:
    return torch.full((batch,), s)


@lru_cache(maxsize=1024)
@torch.inference_mode(False)
def _row_times(s: float, prefix_rows: int, rows: int, batch: int) -> Tensor:
    return row_times(s, prefix_rows, rows, batch)


def _shortened(times: list[float], done: int, steps: int) -> list[float]:
    left = len(times) - 1 - done
    return times if left <= max(steps, 1) else subdivide(times, done, max(steps, 1))
