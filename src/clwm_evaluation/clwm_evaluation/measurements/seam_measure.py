"""How smooth a chunk's seam is: as executed, as the policy made it, and had it not known what was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS, JOINTS
from clwm_common.messages import ActionChunk
from clwm_evaluation.statistics import percentiles
from clwm_sai_executor.path.splice import Path, sample

Array = NDArray[np.float64]
SPLICED, CUT_OVER, PREFIX, NO_PREFIX = "spliced", "cut_over", "prefix", "no_prefix"


@dataclass(frozen=True)
class Jumps:
    """Changes of the mean velocity from one row to the next [rad/s], of the joint that jumps most: where the chunk
    begins to matter, and at every later row of it."""

    seam: float
    inner: tuple[float, ...]


@dataclass(frozen=True)
class Seam:
    """One seam, in several ways.

    ways: `spliced`, what was sent. `cut_over`, where a controller would have gone from its motion straight to the first
    row of the chunk. Others: rows made for the same instant, behind the rows that were committed, without a splice.
    strayed, strayed_tool: how far the rows that were sent are from those of the policy, at most [rad], and the tool
    centre points with them [m].
    """

    ways: Mapping[str, Jumps]
    strayed: float = 0.0
    strayed_tool: float = 0.0


def seam_of(
    now: float,
    before: Path,
    after: Path,
    chunk: ActionChunk,
    poses: Callable[[Array], Array],
    others: Mapping[str, NDArray[np.float32]] | None = None,
) -> Seam:
    """The seam of a chunk that came at `now` while `before` was under way and made it `after`.

    poses: joints (14,) -> poses (2, 7) of the tool centre points, by kinematics. others: rows (16, 30) for the same
    request by their names. A controller passes through the knots that it is sent, so its motion from row to row is that
    of the knots.
    """
    follows = after.last_row - (CHUNK_ROWS - chunk.prefix_rows) - after.first
    knots = after.positions[max(0, follows - 1) : after.last_row - after.first + 1]
    ways = {SPLICED: _jumps(np.diff(knots, axis=0) / after.dt)}
    # Without a splice the controller drops what it did and leads from where the arms are to row 0, one row from now.
    position, velocity, _ = sample(before, now)
    rows = np.concatenate([position[None], chunk.rows[:, JOINTS].astype(np.float64)])
    ways[CUT_OVER] = _jumps(np.concatenate([velocity[None], np.diff(rows, axis=0) / chunk.dt]))
    sent, asked = knots[-(CHUNK_ROWS - chunk.prefix_rows) :], rows[1 + chunk.prefix_rows :]
    committed = knots[: len(knots) - len(sent)]
    for name, other in (others or {}).items():
        free = other[chunk.prefix_rows :, JOINTS].astype(np.float64)
        ways[name] = _jumps(np.diff(np.concatenate([committed, free]), axis=0) / chunk.dt)
    tools = [poses(one)[:, :3] - poses(other)[:, :3] for one, other in zip(sent, asked, strict=True)]
    strayed, strayed_tool = np.abs(sent - asked).max(), np.linalg.norm(tools, axis=-1).max()
    return Seam(ways, float(strayed), float(strayed_tool))


def summarise(seams: Iterable[Seam], largest: float) -> dict[str, Any]:
    """All ways side by side. largest: jump [rad/s] that the acceleration limit allows from one row to the next.

    ratio: median at the seams against the median within chunks; None without seams. strayed_mrad, strayed_mm: of each
    chunk, how far its rows and the tool centre points were moved, at most.
    """
    seams = list(seams)
    report: dict[str, Any] = {
        "seams": len(seams),
        "limit": largest,
        "strayed_mrad": percentiles(1e3 * seam.strayed for seam in seams),
        "strayed_mm": percentiles(1e3 * seam.strayed_tool for seam in seams),
    }
    for name in (SPLICED, CUT_OVER, PREFIX, NO_PREFIX):
        found = [seam.ways[name] for seam in seams if name in seam.ways]
        if not found and name in (PREFIX, NO_PREFIX):
            continue
        at_seams = percentiles(jumps.seam for jumps in found)
        within = percentiles(jump for jumps in found for jump in jumps.inner)
        median = within["p50"]
        report[name] = {
            "seams": len(found),
            "seam_jump": at_seams,
            "inner_jump": within,
            "ratio": at_seams["p50"] / median if median else None,
            "above_limit": sum(jumps.seam > largest * (1.0 + 1e-6) for jumps in found),
        }
    return report


def _jumps(velocities: Array) -> Jumps:
    first, *later = np.abs(np.diff(velocities, axis=0)).max(axis=1).tolist()
    return Jumps(first, tuple(later))
