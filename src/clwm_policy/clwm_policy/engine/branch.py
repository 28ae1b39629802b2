"""What the engine holds of the chunk being made, of the last observation, and of the chunk just sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clwm_common.messages import ChunkRequest, SaiReport
from clwm_policy.engine.conversion import Border, Observation
from clwm_policy.engine.program import Draw, Program
from clwm_policy.engine.re_entry import START, Point
from clwm_policy.engine.tool_motion import chunk_distance
from clwm_policy.model.action_codec import ActionCodec
from clwm_policy.model.feature_scale import relative_error


@dataclass(frozen=True)
class Real:
    """A chunk made from a real observation; its program can still be asked for its own prediction."""

    chunk_id: int
    observation: Observation
    program: Program

    def foresee(self, request: ChunkRequest, border: Border) -> Observation:
        """The surrogate: the observation expected one horizon later, once stage 1 has run on this one."""
        return border.surrogate(
            self.observation, self.program.own_prediction, request.executed_rows, request.committed_prefix[0]
        )


@dataclass(frozen=True)
class Finished:
    """What a report is made of once the chunk is away.

    previous: what predicted its observation, if anything did. surrogate: what it was speculated on, if it was.
    """

    report: SaiReport
    observation: Observation
    previous: Real | None
    surrogate: Observation | None = None

    def surrogate_errors(self, border: Border) -> tuple[float, float]:
        """Relative errors of the predicted feature and of copying the previous one; NaN when none was predicted."""
        if self.previous is None or self.previous.program.own_prediction is None:
            return math.nan, math.nan
        last, actual = self.previous.observation, self.observation.normalised
        if self.surrogate is not None:
            predicted = self.surrogate.normalised
        else:
            predicted = border.normalised(border.predicted_features(last, self.previous.program.own_prediction))
        return relative_error(predicted, actual), relative_error(last.normalised, actual)


@dataclass
class Branch:
    """The chunk being made: what was asked, and what was speculated so far."""

    request: ChunkRequest
    draw: Draw
    surrogate: Observation | None = None
    speculation: Program | None = None

    @property
    def point(self) -> Point:
        return START if self.speculation is None else self.speculation.point

    def verify(self, program: Program, codec: ActionCodec) -> float:
        """How far [m of tool motion] `program`, encoded under the true context, contradicts the speculation.

        NaN when nothing was speculated to its end.
        """
        if self.speculation is None or not self.speculation.is_verifiable:
            return math.nan
        return float(chunk_distance(program.correction(self.speculation), codec).max())

    def resume(self, program: Program, point: Point, corrected: bool) -> Point:
        """Let `program` go on from the speculation at `point`; where it really begins."""
        # A surrogate that went to NaN must not spoil a good observation.
        if point == START or self.speculation is None or not self.speculation.is_finite():
            return START
        if corrected:
            program.refine(point)
        else:
            program.take_over(self.speculation, point)
        return point


def is_foreseen(request: ChunkRequest) -> bool:
    """Whether the observation that a chunk asks for can be predicted from the one before."""
    # The surrogate is the world one horizon of motion later: at rest, the arms did not make that motion.
    return not request.at_rest and len(request.executed_rows) > 0
