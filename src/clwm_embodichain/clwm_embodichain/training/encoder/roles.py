"""What the encoder is taught to find: every object by its role, the way an instruction would speak of it.

An object of a colour that instructions name is that colour's: `red block` is one answer, whichever block is red in an
episode. Others go by their kind. Whoever then reads the features linearly finds what the language asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.things import PALETTE, Layout, Thing
from clwm_sim.situation import Situation, State
from clwm_sim.stage import ARM_SEGMENTS, TABLE_SEGMENT


class RoleError(ValueError):
    """An object that no role describes; the message names it and where to add one."""


@dataclass(frozen=True)
class Kind:
    """symmetry: turns by 2 pi / symmetry look the same, 0: no angle is asked for; has_height: whether z is asked for.

    points: what is found in pictures: 1 is the object's origin, or its only grip; 3 its two grips too.
    is_fixed: it stands where it always does, so that its pose is not asked for; where pictures show it says how their
    cameras are mounted, without which a place in a picture is no place in the world.
    """

    symmetry: int
    has_height: bool = True
    points: int = 1
    is_fixed: bool = False


_COLOURED = {"block": Kind(4), "pad": Kind(0, False), "bar": Kind(2, points=3), "lever": Kind(1)}
_PLAIN = {
    "block": Kind(4),
    "pad": Kind(0, False),
    "panel": Kind(2, False),
    "tray": Kind(2, points=3),
    "pot": Kind(2, points=3),
}
TOOLS = ("left tool", "right tool")
BASES = ("left base", "right base")  # of the arms

KINDS: dict[str, Kind] = {
    **{f"{colour} {name}": kind for name, kind in _COLOURED.items() for colour in PALETTE},
    **_PLAIN,
    **dict.fromkeys(TOOLS, Kind(0)),
    **dict.fromkeys(BASES, Kind(0, is_fixed=True)),
}
ROLES: tuple[str, ...] = tuple(KINDS)
NUMBERS = 5  # of a pose: x, y, z, sine and cosine of its angle times its symmetry
SYMMETRY = np.array([kind.symmetry for kind in KINDS.values()])
# (roles, 5): which numbers are asked for at all.
ASKED = np.array([[True, True, kind.has_height, *[kind.symmetry > 0] * 2] for kind in KINDS.values()])
ASKED &= ~np.array([[kind.is_fixed] for kind in KINDS.values()])
# (points,): whose each point is.
OWNERS = np.repeat(np.arange(len(ROLES)), [kind.points for kind in KINDS.values()])
FIRST_POINTS = np.searchsorted(OWNERS, np.arange(len(ROLES)))  # (roles,): of each role
SEGMENTS: tuple[str, ...] = (
    *(role for role in ROLES if role not in (*TOOLS, *BASES)),
    *ARM_SEGMENTS,
    TABLE_SEGMENT,
    "rest",
)

_CENTRE = np.array([0.48, 0.0, 0.05, 0.0, 0.0])
# In these units poses are of order 1, and a degree of whatever symmetry weighs as much as 7 mm.
_SCALE = np.array([[0.1, 0.1, 0.1, 0.25 * max(1, k), 0.25 * max(1, k)] for k in SYMMETRY])


@dataclass(frozen=True)
class Truth:
    """What is true in one state: poses (roles, 5), m; present (roles,); points (points, 3) m, world frame."""

    poses: NDArray[np.float32]
    present: NDArray[np.bool_]
    points: NDArray[np.float32]


def role_of(thing: Thing) -> str:
    """Raises RoleError for an object that no role describes."""
    role = f"{thing.colour} {thing.kind}" if thing.colour else thing.kind
    if role not in KINDS:
        raise RoleError(
            f"object '{thing.name}' is a '{role}', which the encoder has no role for; add it to "
            "clwm_embodichain/training/encoder/roles.py"
        )
    return role


def truth_of(layout: Layout, now: Situation, bases: NDArray) -> Truth:
    """Poses and points of all that is there; bases: (2, 3) m, of the arms.

    Raises RoleError for an object that no role describes.
    """
    poses = np.zeros((len(ROLES), NUMBERS), np.float32)
    present = np.zeros(len(ROLES), bool)
    points = np.zeros((len(OWNERS), 3), np.float32)

    def fill(role: str, places: list[NDArray], angle: float) -> None:
        index = ROLES.index(role)
        turned = SYMMETRY[index] * angle
        poses[index] = [*places[0], np.sin(turned), np.cos(turned)]
        present[index] = True
        points[index == OWNERS] = places

    for name, state in now.objects.items():
        thing = layout.things[name]
        role = role_of(thing)
        places = _places(thing, state, KINDS[role].points)
        fill(role, places, state.yaw if thing.hinge is None else state.angle)
    for role, place in zip((*TOOLS, *BASES), (*now.tcp, *bases), strict=True):
        fill(role, [place], 0.0)
    return Truth(poses, present, points)


def _places(thing: Thing, state: State, count: int) -> list[NDArray]:
    if thing.hinge is not None:
        return [state.at(thing.grips[0])]
    return [state.position, *(state.at(grip) for grip in thing.grips)][:count]


def scaled(poses: NDArray) -> NDArray:
    """Poses (n, roles, 5) in units of order 1, numbers that are not asked for 0."""
    return np.where(ASKED, (poses - _CENTRE) / _SCALE, 0.0).astype(np.float32)


def unscaled(poses: NDArray) -> NDArray:
    """The inverse of `scaled` for the numbers that are asked for."""
    return poses * _SCALE + _CENTRE


def pose_errors(estimate: NDArray, truth: NDArray, role: int) -> tuple[NDArray, NDArray]:
    """Distances [mm] and angles [deg], each (n,), between poses (n, 5) of one role; angles are NaN without symmetry."""
    asked = ASKED[role, :3]
    away = 1e3 * np.linalg.norm((estimate - truth)[:, :3][:, asked], axis=1)
    if SYMMETRY[role] == 0:
        return away, np.full(len(away), np.nan)
    angles = [np.arctan2(pose[:, 3], pose[:, 4]) for pose in (estimate, truth)]
    turned = np.abs((angles[0] - angles[1] + np.pi) % (2.0 * np.pi) - np.pi)
    return away, np.degrees(turned) / SYMMETRY[role]
