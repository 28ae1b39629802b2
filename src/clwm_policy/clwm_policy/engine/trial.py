"""A pending chunk tried on an observation, without taking that in: for calibration, measurement and evidence."""

from __future__ import annotations

import torch

from clwm_policy.engine.conversion import Border, Rows
from clwm_policy.engine.encoded import Encoded
from clwm_policy.engine.program import Program, Refined, Resumed, Sequential, Verified, verify
from clwm_policy.engine.re_entry import START, Point
from clwm_policy.model.action_codec import ActionCodec


class Trial:
    """One observation, one speculation, one noise: the chunk from every point of re-entry.

    encoded: the true observation. What is written to its memory stays on its own fork.
    """

    def __init__(
        self, encoded: Encoded, speculation: Sequential, border: Border, codec: ActionCodec, prefix: Rows
    ) -> None:
        self._encoded, self._speculation = encoded, speculation
        self._border, self._codec, self._prefix = border, codec, prefix
        encoded.write()

    @torch.inference_mode()
    def rows(self, point: Point = START, corrected: bool = False) -> Rows:
        """The chunk (16, 30) resumed at `point`; from START it is the sequential one.

        At the end of the program it is the speculation as it stands, or as it is corrected. Raises NonFiniteOutput, or
        ValueError when the speculation did not reach `point`.
        """
        if corrected:
            return self._finished(Refined(self._verified(), point), self._prefix)
        encoded = self._encoded.again()
        program = Sequential(encoded) if point == START else Resumed(encoded, self._speculation, point)
        return self._finished(program, self._prefix)

    @torch.inference_mode()
    def from_start(self, committed: int) -> Rows:
        """The sequential chunk (16, 30), had only the first `committed` rows been committed."""
        return self._finished(Sequential(self._encoded.again(committed)), self._prefix[:committed])

    @torch.inference_mode()
    def disagreement(self) -> float:
        """M of tool motion by which the true context contradicts the speculation: the size of its correction."""
        return self._verified().disagreement(self._codec)

    def _verified(self) -> Verified:
        if (draft := self._speculation.finished) is None:
            raise ValueError(f"cannot verify a draft that only reached {self._speculation.point}, or without previews")
        return verify(self._encoded.again(), draft)

    def _finished(self, program: Program, prefix: Rows) -> Rows:
        while program.advance() is not None:
            pass
        return self._border.rows(program.rows, prefix)
