"""What the engine holds of the chunk being made, and of the last observation."""

from __future__ import annotations

from dataclasses import dataclass

from clwm_common.messages import ChunkRequest
from clwm_policy.engine.conversion import Border, Observation
from clwm_policy.engine.deadline import Course
from clwm_policy.engine.encoded import Draw, Encoded
from clwm_policy.engine.program import Program, Refined, Resumed, Sequential, Verified, begin, verify
from clwm_policy.engine.re_entry import START, Point


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


@dataclass
class Branch:
    """The chunk being made: what was asked, and what was speculated so far."""

    request: ChunkRequest
    draw: Draw
    surrogate: Observation | None = None
    speculation: Sequential | None = None

    @property
    def point(self) -> Point:
        return START if self.speculation is None else self.speculation.point

    def verify(self, encoded: Encoded) -> Verified | None:
        """The speculation held against the true context; None unless it is a draft that came to its end."""
        draft = None if self.speculation is None else self.speculation.finished
        return None if draft is None else verify(encoded, draft)

    def resume(self, encoded: Encoded, verified: Verified | None, way: Course) -> Program:
        """The program that goes on from the speculation, if that is finite, or else from the start."""
        # A surrogate that went to NaN must not spoil a good observation.
        if way.point == START or self.speculation is None or not self.speculation.is_finite():
            program = begin(encoded) if verified is None else Sequential(encoded)
            if way.is_cut and way.point == START:
                program.shorten(way.video_steps, way.action_steps)
            return program
        return Resumed(encoded, self.speculation, way.point) if verified is None else Refined(verified, way.point)


def is_foreseen(request: ChunkRequest) -> bool:
    """Whether the observation that a chunk asks for can be predicted from the one before."""
    # The surrogate is the world one horizon of motion later: at rest, the arms did not make that motion.
    return not request.at_rest and len(request.executed_rows) > 0
