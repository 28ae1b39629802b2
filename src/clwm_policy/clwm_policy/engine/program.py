"""One chunk as a program of steps, every step's state kept, so that it can be re-entered anywhere.

    encode -> write -> video ODE (N_v steps) -> absorb f^ -> [preview] -> action ODE (N_a steps)

A `Draft` also evaluates either stage once at s = 0, fused with work that is done anyway. That is a coarse propagator G
of the whole program; what is integrated step by step is the fine one, F. Another program of the same draw can then be
completed by one Parareal iteration (Lions, Maday, Turinici 2001), F(predicted) + G(true) - G(predicted): `verify`; or
by a few of them: `Refined`. A program begins where its observation has been encoded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from clwm_policy.engine.encoded import Encoded, Previewed
from clwm_policy.engine.re_entry import START, Point
from clwm_policy.engine.refinement import Refinement, refinements
from clwm_policy.engine.tool_motion import chunk_distance
from clwm_policy.model.action_codec import ActionCodec
from clwm_policy.model.flow import clamp_prefix, euler_step, flow_times, subdivide


class Step(Enum):
    """What was done in one go."""

    ENCODE = "encode"
    WRITE = "write"
    VIDEO = "video"
    ABSORB = "absorb"
    PREVIEW = "preview"
    ACTION = "action"


class Integration:
    """One stage, integrated by Euler steps. states: at all flow `times` up to where it has got."""

    def __init__(self, states: list[Tensor], times: list[float]) -> None:
        self.states, self.times = states, times

    @property
    def done(self) -> int:
        """Steps taken."""
        return len(self.states) - 1

    @property
    def result(self) -> Tensor | None:
        """The clean sample; None while a step is left."""
        return self.states[-1] if len(self.states) == len(self.times) else None

    @property
    def pending(self) -> tuple[Tensor, float]:
        """The state to be evaluated next, and its flow time."""
        return self.states[-1], self.times[self.done]

    def step(self, velocity: Tensor) -> Tensor:
        """Take one step with the velocity at the pending state, which the new one is written over."""
        x, s = self.pending
        self.states.append(euler_step(x, velocity, s, self.times[self.done + 1], out=velocity))
        return self.states[-1]

    def until(self, done: int) -> Integration:
        """The same, gone back to where `done` steps were taken."""
        return Integration(self.states[: done + 1], self.times)

    def shorten(self, steps: int) -> int:
        """Take at most so many further steps, larger ones, at least one where any is left; how many that saves."""
        planned, steps = len(self.times), max(steps, 1)
        if planned - 1 - self.done > steps:
            self.times = subdivide(self.times, self.done, steps)
        return planned - len(self.times)


class Program(ABC):
    """The steps of one chunk from an encoded observation on. began_at: the point of re-entry."""

    began_at: Point = START
    steps_cut = 0

    def __init__(self, encoded: Encoded) -> None:
        self.encoded = encoded
        self._video = Integration([encoded.draw.video], flow_times(encoded.plan.video_steps))

    @property
    def own_prediction(self) -> Tensor | None:
        """(1, tokens, channels) normalised residual to the next observation that stage 1 gave under this program's own
        context; None until `predict` has finished."""
        return self._video.result

    @property
    @abstractmethod
    def rows(self) -> Tensor | None:
        """(1, rows, 30) normalised chunk; None until the last step is done."""

    @abstractmethod
    def advance(self) -> Step | None:
        """Run the next step; None when the chunk is complete."""

    def sequential(self) -> Sequential:
        """The same, to be made again from the start."""
        return Sequential(self.encoded.again())

    def predict(self) -> bool:
        """Run one step of stage 1 under this program's own context; False when it has none left.

        Also where the chunk did without: that is how the next surrogate is grounded in idle time.
        """
        if self._video.result is not None:
            return False
        self._video.step(self.encoded.video_velocity(*self._video.pending))
        return True


class Sequential(Program):
    """All steps, from the start."""

    def __init__(self, encoded: Encoded) -> None:
        super().__init__(encoded)
        draw, plan = encoded.draw, encoded.plan
        self._action = Integration([clamp_prefix(draw.action, draw.prefix)], flow_times(plan.action_steps))
        self._working: tuple[Any, Any] | None = None

    @property
    def point(self) -> Point:
        """Steps of both integrations whose result is there, made here or taken over."""
        return Point(
            self.encoded.plan.video_steps if self.prediction is not None else self._video.done, self._action.done
        )

    @property
    def prediction(self) -> Tensor | None:
        """The residual that stage 2 uses; None while unknown."""
        return self.own_prediction

    @property
    def rows(self) -> Tensor | None:
        return self._action.result

    def advance(self) -> Step | None:
        encoded = self.encoded
        if self.rows is not None:
            return None
        if not encoded.is_written:
            encoded.write()
            return Step.WRITE
        if self.prediction is None:
            self.predict()
            return Step.VIDEO
        if self._working is None:
            self._working = encoded.absorb(self.prediction)
            return Step.ABSORB
        self._stage_2(self._working)
        return Step.ACTION

    def _stage_2(self, working: tuple[Any, Any]) -> None:
        prefix = self.encoded.draw.prefix
        x = self._action.step(self.encoded.action_velocity(working, *self._action.pending))
        x[:, : prefix.shape[1]] = prefix

    @property
    def finished(self) -> Drafted | None:
        """What another program of the same draw can be held against; None without previews, or before the last step."""
        return None

    def is_finite(self) -> bool:
        """Whether every number that could be kept is finite; what spoils a state spoils all later ones."""
        if self.prediction is None:
            return bool(torch.isfinite(self._video.states[-1]).all())
        return all(bool(torch.isfinite(tensor).all()) for tensor in (self.prediction, self._action.states[-1]))

    def shorten(self, video_steps: int, action_steps: int) -> None:
        """Take at most so many further steps of each stage, larger ones, at least one where any is left."""
        self.steps_cut += self._video.shorten(video_steps) + self._action.shorten(action_steps)


class Resumed(Sequential):
    """From a `point` that `other`, a program of the same draw, has reached: its states are kept, its context is not.

    Past stage 1 the prediction is kept, and absorbed anew by this program's own working state. Raises ValueError when
    `other` has not reached `point`.
    """

    def __init__(self, encoded: Encoded, other: Sequential, point: Point) -> None:
        super().__init__(encoded)
        if point.video > other.point.video or point.action > other.point.action:
            raise ValueError(f"cannot resume at {point}; the other program only reached {other.point}")
        self.began_at = point
        self._kept: Tensor | None = None
        if point.video < encoded.plan.video_steps:
            self._video = other._video.until(point.video)
        else:
            self._kept = other.prediction
            self._action = other._action.until(point.action)

    @property
    def prediction(self) -> Tensor | None:
        return self.own_prediction if self._kept is None else self._kept


@dataclass(frozen=True)
class Drafted:
    """A finished draft: both stages with their previews, and the memory of its working state."""

    video: Integration
    action: Integration
    video_preview: Tensor
    action_preview: Tensor
    memory: Any

    @property
    def prediction(self) -> Tensor:
        return self.video.states[-1]


class Draft(Sequential):
    """From the start, with the previews that another program of the same draw can be held against."""

    def __init__(self, encoded: Previewed) -> None:
        super().__init__(encoded)
        self._previewed = encoded
        self._preview: Tensor | None = None

    def advance(self) -> Step | None:
        if self._working is None or self._preview is not None:
            return super().advance()
        self._preview, _ = self._previewed.action_preview(self._working[0], self.prediction, self._action.states[0])
        return Step.PREVIEW

    @property
    def finished(self) -> Drafted | None:
        if self.rows is None:
            return None
        return Drafted(self._video, self._action, self._previewed.video_preview, self._preview, self._working[0])


@dataclass(frozen=True)
class Verified:
    """A finished draft held against the true context, joined by a `prediction`.

    correction: (1, rows, 30) normalised, what one Parareal iteration adds to the finished chunk:
    G(true) - G(predicted), zero on the committed prefix.
    """

    encoded: Previewed
    draft: Drafted
    prediction: Tensor
    context: Any
    correction: Tensor

    def disagreement(self, codec: ActionCodec) -> float:
        """How far [m of tool motion] the true context contradicts the draft: the size of the correction."""
        return float(chunk_distance(self.correction, codec).max())


def begin(encoded: Encoded) -> Sequential:
    """A program from the start; a draft when the observation was previewed."""
    return Draft(encoded) if isinstance(encoded, Previewed) else Sequential(encoded)


def verify(encoded: Previewed, draft: Drafted) -> Verified:
    """Hold a draft of the same draw against the true observation."""
    return _hold_against(encoded, draft, draft.prediction + (encoded.video_preview - draft.video_preview))


def _hold_against(encoded: Previewed, draft: Drafted, prediction: Tensor) -> Verified:
    clean, context = encoded.action_preview(draft.memory, prediction, draft.action.states[0])
    difference = clean - draft.action_preview
    difference[:, : encoded.draw.prefix.shape[1]] = 0.0
    return Verified(encoded, draft, prediction, context, difference)


class Refined(Program):
    """A verified draft completed by the evaluations of `refinements` at `point`, which is one of theirs.

    The working state is that of the draft: it has absorbed the same prediction but for the correction. The observation
    is written when stage 1 is refined, and otherwise left to be. Raises ValueError for a point without evaluations.
    """

    def __init__(self, verified: Verified, point: Point) -> None:
        super().__init__(verified.encoded)
        ways = refinements(self.encoded.plan)
        if point not in ways:
            raise ValueError(f"cannot refine at {point}; expected one of {list(ways)}")
        self.began_at = point
        self._previewed, self._draft, self._evaluations = verified.encoded, verified.draft, ways[point]
        self._stage_1: Refinement | None = None
        self._stage_2: Refinement | None = None
        if self._evaluations.video:
            video, change = self._draft.video, verified.prediction - self._draft.prediction
            self._stage_1 = Refinement(video.states, video.times, change, self._evaluations.video)
        else:
            self._begin_stage_2(verified)

    @property
    def rows(self) -> Tensor | None:
        return None if self._stage_2 is None else self._stage_2.result

    def advance(self) -> Step | None:
        if self.rows is not None:
            return None
        if self._stage_2 is not None:
            self._stage_2.renew(self.encoded.action_velocity(self._working, *self._stage_2.pending))
            return Step.ACTION
        if not self.encoded.is_written:
            self.encoded.write()
            return Step.WRITE
        if (prediction := self._stage_1.result) is None:
            self._stage_1.renew(self.encoded.video_velocity(*self._stage_1.pending))
            return Step.VIDEO
        self._begin_stage_2(_hold_against(self._previewed, self._draft, prediction))
        return Step.PREVIEW

    def _begin_stage_2(self, verified: Verified) -> None:
        self._working = self._draft.memory, verified.context
        action = self._draft.action
        self._stage_2 = Refinement(action.states, action.times, verified.correction, self._evaluations.action)
