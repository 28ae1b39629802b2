"""What lies on a table, as data: objects made of simple parts, with what may differ between two episodes.

Lengths in m, masses in kg, quaternions wxyz as MuJoCo has them. One description builds the model once and fits it to
every episode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

# Colours that an instruction may name: told apart at 128 pixels also under another lamp.
PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.06, 0.06),
    "green": (0.05, 0.65, 0.12),
    "blue": (0.08, 0.18, 0.90),
    "yellow": (0.98, 0.85, 0.05),
    "purple": (0.50, 0.08, 0.72),
    "orange": (1.00, 0.45, 0.02),
}
GREY = (0.45, 0.46, 0.48)

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One geom, in its object's frame. size: half lengths of a box; radius and half height of a cylinder (and 0).

    A part that is not `present` is neither seen nor touched, and weighs nothing; it is there for other episodes.
    """

    name: str
    size: Vector
    position: Vector = (0.0, 0.0, 0.0)
    turn: float = 0.0  # rad about the object's z
    shape: Literal["box", "cylinder"] = "box"
    colour: Vector = GREY
    present: bool = True
    touches: bool = True

    @property
    def volume(self) -> float:
        """m^3 of what is present."""
        if not self.present:
            return 0.0
        x, y, z = self.size
        return 8.0 * x * y * z if self.shape == "box" else 2.0 * math.pi * x * x * y


@dataclass(frozen=True)
class Grip:
    """Where a hand can take an object, fingers down: `point` (3,) in its frame, `width` m between the fingers.

    turn: rad from the object's x axis to the hand's, which is across the fingers' way. symmetry: rad after which the
    grip is the same again.
    """

    point: Vector
    width: float
    turn: float = 0.0
    symmetry: float = math.pi


@dataclass(frozen=True)
class Hinge:
    """A joint about the object's y axis through its origin, with two stable ends at `-range` and `range` rad.

    snap: Nm/rad that push it away from the middle. angle: rad at the start.
    """

    range: float
    angle: float
    snap: float
    damping: float


@dataclass(frozen=True)
class Thing:
    """One object of an episode. kind: what it is in its scene (`block`, `pad`); colour: its name in the palette.

    moves: `free` objects move under physics, `hinged` ones turn about their hinge, `placed` ones stay where they are
    put. position, yaw: of its frame at the start; height: from its origin down to what it stands on. parking: where it
    waits when it is not present, weightless, out of every camera's sight and apart from others.
    """

    name: str
    kind: str
    parts: tuple[Part, ...]
    position: Vector
    yaw: float = 0.0
    colour: str = ""
    moves: Literal["free", "placed", "hinged"] = "free"
    mass: float = 0.1
    friction: float = 1.0
    grips: tuple[Grip, ...] = ()
    hinge: Hinge | None = None
    height: float = 0.0
    present: bool = True
    parking: Vector = (0.0, 0.0, -2.0)

    @property
    def extent(self) -> float:
        """m around its origin that its parts cover in the table's plane."""
        return max(math.hypot(*p.position[:2]) + math.hypot(*p.size[:2]) for p in self.parts if p.present)


@dataclass(frozen=True)
class Change:
    """At `at` s since the reset somebody puts the placed object `name` at (x, y), or takes it away."""

    at: float
    name: str
    place: tuple[float, float] | None


@dataclass(frozen=True)
class Layout:
    """An episode's objects by name, what happens to them later, in order of time, and what its goals may have to know:
    asked_arm: the arm that has to act, 0 left and 1 right, where a goal is about one. A policy is never told.
    """

    things: dict[str, Thing]
    changes: tuple[Change, ...] = ()
    asked_arm: int | None = None

    @classmethod
    def of(cls, *things: Thing, changes: tuple[Change, ...] = (), asked_arm: int | None = None) -> Layout:
        """The layout of these objects."""
        return cls({thing.name: thing for thing in things}, changes, asked_arm)

    def of_kind(self, kind: str) -> tuple[Thing, ...]:
        """The objects of one kind, in the scene's order."""
        return tuple(thing for thing in self.things.values() if thing.kind == kind)
