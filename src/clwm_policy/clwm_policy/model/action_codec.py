"""Between physical rows and the numbers the model sees.

Joints and end-effector positions of a chunk are coded relative to the *anchor*, the command in force at row 0: it is
known exactly, the same in speculation and in truth. Quaternions and grippers stay absolute. Then the 1st and 99th
percentile of the data are mapped to -1 and 1 (paper). Everything here is numpy in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, Field

from clwm_common.actions import (
    ACTION_DIM,
    GRIPPERS,
    JOINTS,
    LEFT_POSITION,
    LEFT_QUATERNION,
    RIGHT_POSITION,
    RIGHT_QUATERNION,
    LayoutError,
    canonical_quaternion,
)
from clwm_policy.model.sizes import EXECUTED_ROWS
from clwm_policy.model.stored import stored

Array = NDArray[np.float64]
Channels, Flags = stored(np.float64, ACTION_DIM), stored(np.bool_, ACTION_DIM)

RELATIVE = np.zeros(ACTION_DIM, dtype=bool)
for _part in (LEFT_POSITION, RIGHT_POSITION, JOINTS):
    RELATIVE[_part] = True

# The narrowest range that is stretched to [-1, 1]: channels that hardly move would otherwise be noise at full scale.
_NARROWEST = np.full(ACTION_DIM, 0.05)
_NARROWEST[GRIPPERS] = 0.01


@dataclass(frozen=True)
class Normaliser:
    """Maps [low, high] to [-1, 1] per channel; channels where `mask` is False are absent and coded as 0."""

    low: Annotated[Channels, Field(alias="q01")]
    high: Annotated[Channels, Field(alias="q99")]
    mask: Flags

    @cached_property
    def half(self) -> Array:
        """(30,) physical units of one coded unit; 0 where the channel is absent."""
        return np.where(self.mask, (self.high - self.low) / 2.0, 0.0)

    @cached_property
    def middle(self) -> Array:
        """(30,) what is coded as 0; 0 where the channel is absent."""
        return np.where(self.mask, (self.high + self.low) / 2.0, 0.0)

    @cached_property
    def _half_or_1(self) -> Array:
        return np.where(self.mask, self.half, 1.0)

    @classmethod
    def fit(cls, rows: ArrayLike, mask: ArrayLike | None = None) -> Normaliser:
        """q01 and q99 of rows (n, 30), widened to a smallest range about their middle."""
        rows = _checked(rows, "rows")
        low, high = np.quantile(rows.reshape(-1, ACTION_DIM), [0.01, 0.99], axis=0)
        middle, half = (low + high) / 2, np.maximum(high - low, _NARROWEST) / 2
        mask = np.ones(ACTION_DIM, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        return cls(middle - half, middle + half, mask)

    def encode(self, rows: Array) -> Array:
        # What is absent may be NaN.
        return np.where(self.mask, (rows - self.middle) / self._half_or_1, 0.0)

    def decode(self, coded: Array) -> Array:
        """The inverse where `mask` is True; 0 elsewhere."""
        return coded * self.half + self.middle


def _spans(normaliser: Normaliser) -> Normaliser:
    if not np.all(normaliser.low < normaliser.high):
        channel = int(np.argmin(normaliser.high - normaliser.low))
        raise ValueError(f"channel {channel} has q01 >= q99; fit it again")
    return normaliser


Fitted = Annotated[Normaliser, AfterValidator(_spans)]


@dataclass(frozen=True)
class ActionCodec:
    """chunk: rows relative to the anchor. absolute: anchor rows. lag: measured state minus anchor."""

    chunk: Fitted
    absolute: Fitted
    lag: Fitted

    def encode_rows(self, rows: ArrayLike, anchor: ArrayLike) -> Array:
        """Physical rows (..., 30) to model rows; anchor (30,) or broadcastable to rows.

        Raises LayoutError when the last axis is not 30 wide.
        """
        rows, anchor = _checked(rows, "rows"), _checked(anchor, "anchor")
        return self.chunk.encode(rows - np.where(RELATIVE, anchor, 0.0))

    def decode_rows(self, coded: ArrayLike, anchor: ArrayLike) -> Array:
        """Model rows (..., 30) to physical rows, quaternions brought to unit length; absent channels keep the anchor's.

        Raises LayoutError when the last axis is not 30 wide.
        """
        coded, anchor = _checked(coded, "coded rows"), _checked(anchor, "anchor")
        rows = self.chunk.decode(coded) + np.where(RELATIVE, anchor, 0.0)
        rows = np.where(self.chunk.mask, rows, anchor)
        both = np.stack([rows[..., LEFT_QUATERNION], rows[..., RIGHT_QUATERNION]])
        rows[..., LEFT_QUATERNION], rows[..., RIGHT_QUATERNION] = canonical_quaternion(both)
        return rows

    def encode_state(self, state: ArrayLike, anchor: ArrayLike) -> Array:
        """Proprioception (..., 60): the anchor, and how far the measured state is from it; both normalised."""
        state, anchor = _checked(state, "state"), _checked(anchor, "anchor")
        return np.concatenate([self.absolute.encode(anchor), self.lag.encode(state - anchor)], axis=-1)

    def encode_executed(self, rows: ArrayLike, anchor: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
        """Rows executed since the last observation (n, 30), oldest first, to (12, 30) and a mask (12,).

        The newest row always comes last; of more than 12 the oldest are left out, fewer are padded in front.
        """
        rows = _checked(rows, "executed rows").reshape(-1, ACTION_DIM)[-EXECUTED_ROWS:]
        coded, mask = np.zeros((EXECUTED_ROWS, ACTION_DIM)), np.zeros(EXECUTED_ROWS, dtype=bool)
        if len(rows):
            coded[-len(rows) :] = self.encode_rows(rows, anchor)
            mask[-len(rows) :] = True
        return coded, mask


def _checked(rows: ArrayLike, name: str) -> Array:
    array = np.asarray(rows, dtype=np.float64)
    if array.shape[-1:] != (ACTION_DIM,):
        raise LayoutError(f"{name} have shape {array.shape}; expected (..., {ACTION_DIM})")
    return array
