"""The motion as it was sent, and how a chunk or a stop continues it without touching what is committed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.path.braking import braking_tail
from clwm_sai_executor.path.knots import follow
from clwm_sai_executor.path.limits import MotionLimits

Array = NDArray[np.float64]

# Knots kept behind the splice: enough for the rows executed since the previous observation, with stalls.
_KEEP_BEHIND = 48
# Knots of rest before a motion, which begins at most a lead (0.2 s) and a row after it is sent; the first is past then.
_HELD_BEFORE = 6
# Stamps near 2e9 s have a resolution of 0.24 us in a float; 20 us is well above that and far below a row.
_SLACK = 2e-5
# s; no segment is shorter than this, or accelerations along it would be made of rounding.
_SHORTEST = 5e-3


@dataclass(frozen=True)
class Path:
    """A motion from rest to rest: knots `dt` apart, except where a stop began between two of them.

    offsets: (n,) s from `origin`, increasing; positions, velocities: (n, 14) rad, rad/s; openings: (n, 2) m; the first
    stored knot has index `first`.
    last_row: index of the last knot that a policy asked for; what comes after is the braking tail.
    is_hold: whether it is as `at_rest` made it, without any motion.
    """

    origin: float
    dt: float
    first: int
    offsets: Array
    positions: Array
    velocities: Array
    openings: Array
    last_row: int
    is_hold: bool = False

    @classmethod
    def at_rest(cls, position: Array, openings: Array, instant: float, dt: float) -> Path:
        """Arms that hold `position` (14,) and `openings` (2,) at `instant`, the last knot, and since some knots before.

        The first knot lies in the past when the path is sent: a controller leads the arms from where it measures them
        to a first knot in the future, a small jump of its command that this avoids.
        """
        positions = np.repeat(position[None], _HELD_BEFORE + 1, axis=0)
        openings = np.repeat(openings[None], _HELD_BEFORE + 1, axis=0)
        offsets, rest = np.arange(_HELD_BEFORE + 1) * dt, np.zeros_like(positions)
        return cls(instant - float(offsets[-1]), dt, 0, offsets, positions, rest, openings, _HELD_BEFORE, is_hold=True)

    @property
    def last(self) -> int:
        """Index of the last knot, where the arms rest."""
        return self.first + len(self.positions) - 1

    def time(self, index: int) -> float:
        """Instant [s] of a knot, also of one that would follow the last or that came before the first stored one."""
        near = min(max(index, self.first), self.last)
        return self.origin + float(self.offsets[near - self.first]) + (index - near) * self.dt

    def index_from(self, instant: float) -> int:
        """Index of the first knot at or after `instant`; may lie beyond the last."""
        offset = instant - self.origin - _SLACK
        beyond = offset - self.offsets[-1]
        if beyond > 0.0:
            return self.last + math.ceil(beyond / self.dt)
        return self.first + int(self.offsets.searchsorted(offset))

    def index_until(self, instant: float) -> int:
        """Index of the last knot at or before `instant`; one less than the first before it, may lie beyond the last."""
        offset = instant - self.origin + _SLACK
        beyond = offset - self.offsets[-1]
        if beyond >= 0.0:
            return self.last + math.floor(beyond / self.dt)
        return self.first + int(self.offsets.searchsorted(offset, "right")) - 1

    def knot(self, index: int) -> tuple[Array, Array, Array]:
        """Position, velocity and openings of a knot; beyond the last, the arms rest in it."""
        at = min(index, self.last) - self.first
        return self.positions[at], self.velocities[at], self.openings[at]

    def opening(self, index: int) -> list[float]:
        """Openings [m] of both grippers at a knot."""
        return self.openings[index - self.first].tolist()

    def acceleration_into(self, index: int) -> Array:
        """Acceleration (14,) at the end of the segment before a knot; 0 at the first and from the last on."""
        at = index - self.first
        if at == 0 or index >= self.last:
            return np.zeros_like(self.positions[0])
        q0, q1, v0, v1 = *self.positions[at - 1 : at + 1], *self.velocities[at - 1 : at + 1]
        dt = self.offsets[at] - self.offsets[at - 1]
        return (-6.0 * (q1 - q0) / dt + 2.0 * v0 + 4.0 * v1) / dt

    def positions_until(self, index: int, count: int) -> Array:
        """Positions (count, 14) of the last knots up to `index`; before the first, the arms rest there."""
        return self.positions[np.maximum(np.arange(index - count + 1, index + 1) - self.first, 0)]

    def resting_until(self, index: int) -> Path:
        """The same path with more knots of rest at its end, so that knot `index` is its last."""
        more = max(0, index - self.last)
        return replace(
            self,
            offsets=_prolonged(self, more),
            positions=np.concatenate([self.positions, np.repeat(self.positions[-1:], more, axis=0)]),
            velocities=np.concatenate([self.velocities, np.zeros((more, self.velocities.shape[1]))]),
            openings=np.concatenate([self.openings, np.repeat(self.openings[-1:], more, axis=0)]),
            is_hold=False,
        )

    def message(self, now: float) -> tuple[Array, Array, Array]:
        """Times from `origin` (n,), positions and velocities (n, 14) that a controller needs from `now` on.

        Starts two knots back, so that a controller whose clock or link is a little late finds the segment it is in.
        """
        start = min(max(self.index_until(now) - 1, self.first), self.last)
        needed = slice(start - self.first, None)
        return self.offsets[needed], self.positions[needed], self.velocities[needed]


def _prolonged(path: Path, more: int) -> Array:
    """Offsets of the path with `more` knots after its last."""
    return np.concatenate([path.offsets, path.offsets[-1] + np.arange(1, more + 1) * path.dt])


@dataclass(frozen=True)
class SpliceFacts:
    """What a splice did to the rows. Of jumps, the largest joint counts.

    Jumps are changes of the mean velocity from one segment to the next [rad/s], acceleration jumps are what the
    acceleration steps by at a knot [rad/s^2]; the seam is the last knot that was sent before.
    cut: how many of the last rows were replaced by rest, because they come too near to something. clamped: how many
    positions the limits keep from the rows as they were handed in, by at most largest_clamp [rad]; largest_blend: how
    far these had been moved before, to lead over from the motion under way, at most [rad].
    """

    clamped: int
    largest_clamp: float
    seam_jump: float
    inner_jumps: Array
    seam_acceleration_jump: float
    inner_acceleration_jumps: Array
    cut: int = 0
    largest_blend: float = 0.0


def splice(path: Path, at: int, rows: Array, openings: Array, limits: MotionLimits) -> tuple[Path, SpliceFacts]:
    """Continue `path` after knot `at` with joints `rows` (n, 14) and `openings` (n, 2), and end in a braking tail.

    Knots up to `at` stay byte for byte as they were sent, velocities included. Raises IndexError when `at` is no knot
    of the path.
    """
    kept = _cut(path, at)
    position, velocity, _ = kept.knot(at)
    positions, velocities, clamped, largest = follow(position, velocity, rows, limits, path.dt)
    extended = replace(
        kept,
        offsets=_prolonged(kept, len(rows)),
        positions=np.concatenate([kept.positions, positions]),
        velocities=np.concatenate([kept.velocities, velocities]),
        openings=np.concatenate([kept.openings, openings]),
        last_row=at + len(rows),
    )
    behind = max(0, len(kept.positions) - 2)
    jumps, steps = _jumps(extended, behind)
    if len(kept.positions) == 1:
        jumps, steps = np.concatenate([[0.0], jumps]), np.concatenate([[0.0], steps])
    facts = SpliceFacts(clamped, largest, float(jumps[0]), jumps[1:], float(steps[0]), steps[1:])
    return _with_tail(extended, limits), facts


def _jumps(path: Path, behind: int) -> tuple[Array, Array]:
    """Jumps (n - 2,) of mean velocity and of acceleration at the knots between the last n ones, `behind` left out."""
    velocities, dt = path.velocities[behind:], np.diff(path.offsets[behind:])[:, None]
    way = np.diff(path.positions[behind:], axis=0) / dt
    into = (-6.0 * way + 2.0 * velocities[:-1] + 4.0 * velocities[1:]) / dt
    out_of = (6.0 * way - 4.0 * velocities[:-1] - 2.0 * velocities[1:]) / dt
    return np.abs(np.diff(way, axis=0)).max(axis=1), np.abs(out_of[1:] - into[:-1]).max(axis=1)


def stop(path: Path, at: int, limits: MotionLimits) -> Path:
    """Brake after knot `at`; knots up to it stay as they were sent. Raises IndexError when there is no such knot."""
    kept = _cut(path, at)
    return _with_tail(replace(kept, last_row=min(path.last_row, at)), limits)


def stop_at(path: Path, instant: float, limits: MotionLimits) -> Path:
    """Brake from `instant` on, or up to 5 ms later: a row is a long way for fast arms, so this waits for no knot.

    It does where braking from between two knots would end beyond a position limit: room is only kept from knots on.
    The new knot is a whole number of nanoseconds from the origin, as messages carry it: at 1 rad/s, half a nanosecond
    more or less of a segment of 5 ms would change its acceleration by 1e-4 rad/s^2.
    """
    before = path.index_until(instant)
    if before < path.first or before >= path.last:
        return stop(path, min(max(before, path.first), path.last), limits)
    start, following = path.offsets[before - path.first : before - path.first + 2].tolist()
    offset = round(max(instant - path.origin, start + _SHORTEST), 9)
    if offset > following - _SHORTEST:
        return stop(path, before + 1, limits)
    position, velocity, _ = _within(path, before, offset - start)
    kept = _cut(path, before)
    braking = replace(
        kept,
        offsets=np.append(kept.offsets, offset),
        positions=np.concatenate([kept.positions, position[None]]),
        velocities=np.concatenate([kept.velocities, velocity[None]]),
        openings=np.concatenate([kept.openings, kept.openings[-1:]]),
        last_row=min(path.last_row, before + 1),
    )
    braked = _with_tail(braking, limits)
    rest = braked.positions[-1]
    if (rest < limits.lower).any() or (rest > limits.upper).any():
        return stop(path, before + 1, limits)
    return braked


def _cut(path: Path, at: int) -> Path:
    if not path.first <= at <= path.last:
        raise IndexError(f"knot {at} is not on the path; it has knots {path.first} to {path.last}")
    start = max(path.first, at - _KEEP_BEHIND)
    span = slice(start - path.first, at - path.first + 1)
    return replace(
        path,
        first=start,
        offsets=path.offsets[span],
        positions=path.positions[span],
        velocities=path.velocities[span],
        openings=path.openings[span],
        is_hold=False,
    )


def _with_tail(path: Path, limits: MotionLimits) -> Path:
    position, velocity, openings = path.knot(path.last)
    positions, velocities = braking_tail(position, velocity, limits.widened_for(position, velocity, path.dt), path.dt)
    return replace(
        path,
        offsets=_prolonged(path, len(positions)),
        positions=np.concatenate([path.positions, positions]),
        velocities=np.concatenate([path.velocities, velocities]),
        openings=np.concatenate([path.openings, np.repeat(openings[None], len(positions), axis=0)]),
    )


def sample(path: Path, instant: float) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration (14,) of the cubic that a controller executes at `instant`.

    Before the first knot and after the last the arms rest there.
    """
    index = path.index_until(instant)
    if index < path.first or index >= path.last:
        position = path.knot(max(index, path.first))[0]
        return position, np.zeros_like(position), np.zeros_like(position)
    # A little below zero where the slack has chosen the next segment: both are one motion there.
    return _within(path, index, instant - path.origin - float(path.offsets[index - path.first]))


def _within(path: Path, index: int, time: float) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration `time` s after knot `index`, not the last, on the cubic to the next one."""
    (q0, v0, _), (q1, v1, _) = path.knot(index), path.knot(index + 1)
    dt = float(path.offsets[index + 1 - path.first] - path.offsets[index - path.first])
    a0 = (6.0 * (q1 - q0) / dt - 4.0 * v0 - 2.0 * v1) / dt
    jerk = ((-6.0 * (q1 - q0) / dt + 2.0 * v0 + 4.0 * v1) / dt - a0) / dt
    return (
        q0 + time * (v0 + time * (a0 / 2.0 + time * jerk / 6.0)),
        v0 + time * (a0 + time * jerk / 2.0),
        a0 + time * jerk,
    )
