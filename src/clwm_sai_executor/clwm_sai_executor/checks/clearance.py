"""How near the arms come to one another and to the table, and whether the tools stay in their box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription, Safety
from clwm_common.robot.kinematics import DualArmKinematics

Array = NDArray[np.float64]

_NEAR = 0.02  # m; farther arms are not looked at any closer


@dataclass(frozen=True)
class Margins:
    """Distances [m] to what is forbidden, (n,) each, one for each configuration; negative inside of it.

    arms: exact below 2 cm; where more is left, at least as much as it says.
    """

    arms: Array
    table: Array
    workspace: Array


MarginsOf = Callable[[Array], Margins]


class ArmShapes:
    """The capsules of both arms, placed for any number of configurations at once: below 1 ms for a chunk."""

    def __init__(self, robot: RobotDescription, safety: Safety) -> None:
        self._kinematics = DualArmKinematics(robot)
        self._safety = safety
        self._tool_centre = robot.tool.centre
        links = [*(f"link{index}" for index in range(8)), "hand"]
        self._links = np.array([links.index(capsule.link) for capsule in safety.capsules])
        self._ends = np.array([[[*capsule.start, 1.0], [*capsule.end, 1.0]] for capsule in safety.capsules])
        self._radii = np.array([capsule.radius for capsule in safety.capsules])
        self._above = np.array([capsule.above_table for capsule in safety.capsules])

    def segments(self, joints: Array) -> Array:
        """Axes (n, 2, k, 2, 3) of the k capsules of both arms, start and end in the world [m], for joints (n, 14)."""
        return self._axes(self._kinematics.link_frames(joints))

    def margins(self, joints: Array) -> Margins:
        """What is left for joints (n, 14)."""
        frames = self._kinematics.link_frames(joints)
        axes = self._axes(frames)
        safety = self._safety
        tools = frames[:, :, 8, :3, 3] + self._tool_centre * frames[:, :, 8, :3, 2]
        return Margins(
            arm_distance(axes[:, 0], axes[:, 1], self._radii, safety.arm_clearance + _NEAR) - safety.arm_clearance,
            table_distance(axes[:, :, self._above], self._radii[self._above], safety.table_height)
            - safety.table_clearance,
            inside_box(tools, np.array(safety.workspace_lower), np.array(safety.workspace_upper)),
        )

    def _axes(self, frames: Array) -> Array:
        return np.einsum("nakij,kej->nakei", frames[:, :, self._links, :3], self._ends, optimize=False)


def margins_of(robot: RobotDescription) -> MarginsOf | None:
    """What `Scheduler` needs to keep the arms clear; None for a robot without a `safety` part."""
    return None if robot.safety is None else ArmShapes(robot, robot.safety).margins


def arm_distance(left: Array, right: Array, radii: Array, exact_below: float = np.inf) -> Array:
    """Smallest distance (n,) between any two capsules of axes (n, k, 2, 3) each and radii (k,).

    A distance that is certain to be `exact_below` or more may come out smaller than it is, but not below that.
    """
    (left_middle, left_reach), (right_middle, right_reach) = map(_middles, (left, right))
    between = left_middle[:, :, None] - right_middle[:, None]
    # Axes are nearer than their middles by half of both lengths at most.
    apart = (
        np.sqrt((between * between).sum(-1)) - left_reach[:, :, None] - right_reach[:, None] - radii[:, None] - radii
    )
    at = np.nonzero(apart < exact_below)
    apart[at] = segment_distance(left[at[0], at[1]], right[at[0], at[2]]) - radii[at[1]] - radii[at[2]]
    return apart.min(axis=(1, 2))


def _middles(axes: Array) -> tuple[Array, Array]:
    """Middles (n, k, 3) of axes (n, k, 2, 3), and how far (n, k) their ends are from these."""
    start, end = axes[:, :, 0], axes[:, :, 1]
    half = (end - start) / 2.0
    return start + half, np.sqrt((half * half).sum(-1))


def table_distance(axes: Array, radii: Array, height: float) -> Array:
    """Smallest height (n,) of capsules (n, 2, k, 2, 3) above a table top at z = `height`."""
    return (axes[..., 2].min(axis=-1) - radii).min(axis=(1, 2)) - height


def inside_box(points: Array, lower: Array, upper: Array) -> Array:
    """How far (n,) the outermost of `points` (n, m, 3) is from the nearest face of a box; negative outside."""
    return np.minimum(points - lower, upper - points).min(axis=(1, 2))


def segment_distance(first: Array, second: Array) -> Array:
    """Distance (...,) of segments (..., 2, 3), each of some length, broadcast against each other."""
    d1, d2 = first[..., 1, :] - first[..., 0, :], second[..., 1, :] - second[..., 0, :]
    r = first[..., 0, :] - second[..., 0, :]
    a, e, b = (d1 * d1).sum(-1), (d2 * d2).sum(-1), (d1 * d2).sum(-1)
    c, f = (d1 * r).sum(-1), (d2 * r).sum(-1)
    denominator = a * e - b * b
    # Parallel segments: any point of the first will do, the second's is then clamped and the first's found anew.
    is_skew = denominator > 1e-12 * a * e
    s = np.where(is_skew, np.clip((b * f - c * e) / np.where(is_skew, denominator, 1.0), 0.0, 1.0), 0.0)
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    gap = r + s[..., None] * d1 - t[..., None] * d2
    return np.sqrt((gap * gap).sum(-1))
