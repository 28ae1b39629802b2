"""How smooth a chunk's seam is: as spliced and executed, and had the controllers simply been handed the new chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS, JOINTS
from clwm_common.messages import ActionChunk
from clwm_embodichain.statistics import percentiles
from clwm_sai_executor.splice import Path, sample

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Seam:
    """One seam. Jumps are changes of the mean velocity from one row to the next [rad/s], of the joint that jumps most.

    spliced: at the seam of what was sent; inner: at every other row of the same chunk; cut_over: where a controller
    would have gone from its motion straight to the first row of the new chunk, and `inner_cut_over` from there on.
    strayed, strayed_tool: how far the rows that were sent are from those of the policy, at most [rad], and the tool
    centre points with them [m].
    """

    spliced: float
    inner: tuple[float, ...]
    cut_over: float
    inner_cut_over: tuple[float, ...]
    strayed: float = 0.0
    strayed_tool: float = 0.0


def seam_of(now: float, before: Path, after: Path, chunk: ActionChunk, poses: Callable[[Array], Array]) -> Seam:
    """The seam of a chunk that came at `now` while `before` was under way and made it `after`.

    poses: joints (14,) -> poses (2, 7) of the tool centre points, by kinematics. A controller passes through the knots
    that it is sent, so its motion from row to row is that of the knots.
    """
    follows = after.last_row - (CHUNK_ROWS - chunk.prefix_rows) - after.first
    knots = after.positions[max(0, follows - 1) : after.last_row - after.first + 1]
    spliced = _jumps(np.diff(knots, axis=0) / after.dt)
    # Without a splice the controller drops what it did and leads from where the arms are to row 0, one row from now.
    position, velocity, _ = sample(before, now)
    rows = np.concatenate([position[None], chunk.rows[:, JOINTS].astype(np.float64)])
    cut_over = _jumps(np.concatenate([velocity[None], np.diff(rows, axis=0) / chunk.dt]))
    sent, asked = knots[-(CHUNK_ROWS - chunk.prefix_rows) :], rows[1 + chunk.prefix_rows :]
    tools = [poses(one)[:, :3] - poses(other)[:, :3] for one, other in zip(sent, asked, strict=True)]
    strayed, strayed_tool = np.abs(sent - asked).max(), np.linalg.norm(tools, axis=-1).max()
    return Seam(spliced[0], spliced[1:], cut_over[0], cut_over[1:], float(strayed), float(strayed_tool))


def summarise(seams: Iterable[Seam], largest: float) -> dict[str, Any]:
    """Both ways side by side. largest: jump [rad/s] that the acceleration limit allows from one row to the next.

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
    for name in ("spliced", "cut_over"):
        jumps = [getattr(seam, name) for seam in seams]
        inner = [jump for seam in seams for jump in getattr(seam, "inner" if name == "spliced" else f"inner_{name}")]
        at_seams, within = percentiles(jumps), percentiles(inner)
        median = within["p50"]
        report[name] = {
            "seam_jump": at_seams,
            "inner_jump": within,
            "ratio": at_seams["p50"] / median if median else None,
            "above_limit": sum(jump > largest * (1.0 + 1e-6) for jump in jumps),
        }
    return report


def _jumps(velocities: Array) -> tuple[float, ...]:
    return tuple(np.abs(np.diff(velocities, axis=0)).max(axis=1).tolist())
