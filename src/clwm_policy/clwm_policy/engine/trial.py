"""A pending chunk tried on an observation, without taking that in: for calibration, measurement and evidence."""

from __future__ import annotations

import torch

from clwm_policy.engine.conversion import Border, Rows
from clwm_policy.engine.program import Program
from clwm_policy.engine.re_entry import START, Point
from clwm_policy.engine.tool_motion import chunk_distance
from clwm_policy.model.action_codec import ActionCodec


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
        program.write()

    @torch.inference_mode()
    def rows(self, point: Point = START, corrected: bool = False) -> Rows:
        """The chunk (16, 30) resumed at `point`; from START it is the sequential one.

        At the end of the program it is the speculation as it stands, or as it is corrected. Raises NonFiniteOutput, or
        ValueError when the speculation did not reach `point`.
        """
        program = self._program.again()
        if corrected:
            program.correction(self._speculation)
            program.refine(point)
        elif point != START:
            program.take_over(self._speculation, point)
        return self._finished(program, self._prefix)

    @torch.inference_mode()
    def from_start(self, committed: int) -> Rows:
        """The sequential chunk (16, 30), had only the first `committed` rows been committed."""
        return self._finished(self._program.again(previews=False, committed=committed), self._prefix[:committed])

    @torch.inference_mode()
    def disagreement(self) -> float:
        """M of tool motion by which the true context contradicts the speculation: the size of its correction."""
        return float(chunk_distance(self._program.again().correction(self._speculation), self._codec).max())

    def _finished(self, program: Program, prefix: Rows) -> Rows:
        while program.advance() is not None:
            pass
        return self._border.rows(program.rows, prefix)
