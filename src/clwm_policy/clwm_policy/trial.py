"""A pending chunk tried on an observation, without taking that in: for calibration, measurement and evidence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import NDArray

from clwm_policy.action_codec import ActionCodec
from clwm_policy.border import Border, Rows
from clwm_policy.program import Program
from clwm_policy.re_entry import START, Point
from clwm_policy.tool_motion import chunk_distance


class Trial:
    """One observation, one speculation, one noise: the chunk from every point of re-entry.

    program: under the true context, nothing of it run yet. What it writes stays on its own fork.
    """

    def __init__(
        self, program: Program, speculation: Program, border: Border, codec: ActionCodec, prefix: Rows
    ) -> None:
        self._program, self._speculation = program, speculation
        self._border, self._codec, self._prefix = border, codec, prefix
        program.advance()
        program.advance()

    @property
    def reached(self) -> Point:
        """How far the speculation got."""
        return self._speculation.point

    @torch.inference_mode()
    def rows(self, point: Point = START) -> Rows:
        """The chunk (16, 30) resumed at `point`; from START it is the sequential one.

        At the end of the program it is the speculation as it stands, never calibrated. Raises NonFiniteOutput, or
        ValueError when the speculation did not reach `point`.
        """
        program = self._program.again()
        if point != START:
            program.take_over(self._speculation, point)
        while program.advance() is not None:
            pass
        return self._border.rows(program.rows, self._prefix)

    @torch.inference_mode()
    def disagreements(self, steps: Sequence[int]) -> NDArray:
        """(n,) m of tool motion by which the true context contradicts the speculation at stored stage 2 states."""
        return chunk_distance(self._program.again().strayed(self._speculation, steps), self._codec)
