"""What was sampled at any instants, at the instants of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from clwm_common.actions import GRIPPERS, LEFT_QUATERNION, RIGHT_QUATERNION, canonical_quaternion

Array = NDArray[np.float64]


def at_instants(times: Array, values: NDArray, wanted: Array, exact_within: float = 0.0) -> Array:
    """Values (n, ...) of rising `times` at `wanted` (m,), linearly between them; the first and the last go on.

    exact_within: s; the nearest sample as it is where it is not farther away.
    """
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1) if len(times) > 1 else np.zeros(len(wanted), int)
    before = np.maximum(after - 1, 0)
    span = np.where(after > before, times[after] - times[before], 1.0)
    share = np.clip((wanted - times[before]) / np.where(span > 0.0, span, 1.0), 0.0, 1.0)
    share = np.where(np.abs(wanted - times[before]) <= exact_within, 0.0, share)
    share = np.where(np.abs(wanted - times[after]) <= exact_within, 1.0, share)
    share = share.reshape(-1, *([1] * (values.ndim - 1)))
    first, second = values[before].astype(np.float64), values[after].astype(np.float64)
    return np.where(share == 1.0, second, first + share * (second - first))


def rows_at(times: Array, rows: NDArray[np.float32], wanted: Array, exact_within: float) -> NDArray[np.float32]:
    """Rows (n, 30) of the layout at `wanted`; between two of them the turns are those between their quaternions."""
    continuous = rows.astype(np.float64)
    for part in (LEFT_QUATERNION, RIGHT_QUATERNION):
        # Both signs are the same turn: without leaps between them a line from one to the next is one too.
        signs = np.sign((continuous[1:, part] * continuous[:-1, part]).sum(axis=1))
        flips = np.cumprod(np.concatenate([[1.0], np.where(signs == 0.0, 1.0, signs)]))
        continuous[:, part] *= flips[:, None]
    found = at_instants(times, continuous, wanted, exact_within)
    for part in (LEFT_QUATERNION, RIGHT_QUATERNION):
        given = np.abs(found[:, part]).sum(axis=1) > 1e-6  # a masked pose is all zero
        found[given, part] = canonical_quaternion(found[given, part])
    result = found.astype(np.float32)
    nearest = nearest_of(times, wanted)
    is_exact = np.abs(times[nearest] - wanted) <= exact_within
    result[is_exact] = rows[nearest[is_exact]]
    return result


def nearest_of(times: Array, wanted: Array) -> NDArray[np.int64]:
    """Index of the nearest of rising `times` for each of `wanted`."""
    after = np.clip(np.searchsorted(times, wanted), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)


class CommandedJoints:
    """What one arm was sent, in the order in which it was: a newer trajectory replaces the one before."""

    def __init__(self) -> None:
        self._sent: list[float] = []
        self._curves: list[tuple[float, float, CubicHermiteSpline | None, Array]] = []

    def add(self, sent: float, times: Array, positions: Array, velocities: Array | None) -> None:
        """sent: s; times: (n,) s of the knots; positions, velocities: (n, 7). Without velocities lines connect them."""
        curve = None
        if len(times) > 1:
            slopes = np.diff(positions, axis=0) / np.diff(times)[:, None]
            slopes = np.vstack([slopes, slopes[-1:]]) if velocities is None else velocities
            curve = CubicHermiteSpline(times, positions, slopes)
        self._sent.append(sent)
        self._curves.append((times[0], times[-1], curve, positions[[0, -1]]))

    @property
    def is_empty(self) -> bool:
        return not self._sent

    def at(self, wanted: Array) -> Array:
        """(m, 7) rad; before the first of them its beginning."""
        sent = np.maximum.accumulate(self._sent)
        newest = np.searchsorted(sent, wanted, side="right") - 1
        return np.stack([self._at(time, max(index, 0)) for time, index in zip(wanted, newest, strict=True)])

    def _at(self, time: float, index: int) -> Array:
        # One that begins later than now has not taken over yet.
        while index > 0 and time < self._curves[index][0]:
            index -= 1
        first, last, curve, ends = self._curves[index]
        if time <= first:
            return ends[0]
        if time >= last or curve is None:
            return ends[1]
        return curve(time)


def held(times: list[float], openings: list[tuple[float, float]], wanted: Array) -> Array:
    """(m, 2) openings as last commanded at `wanted`. NaN: a hand was told nothing then, and keeps its last."""
    order = np.argsort(times, kind="stable")
    values = np.array(openings, np.float64).reshape(-1, GRIPPERS.stop - GRIPPERS.start)[order]
    for hand in range(values.shape[1]):
        known = np.where(np.isnan(values[:, hand]), -1, np.arange(len(values)))
        last = np.maximum.accumulate(known)
        values[:, hand] = np.where(last >= 0, values[np.maximum(last, 0), hand], np.nan)
    index = np.searchsorted(np.array(times)[order], wanted, side="right") - 1
    return np.where((index >= 0)[:, None], values[np.maximum(index, 0)], np.nan)
