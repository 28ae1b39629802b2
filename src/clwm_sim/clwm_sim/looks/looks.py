"""Everything that a picture shows and no goal depends on, as data. Lengths in m, angles in rad, colours 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from clwm_sim.scenes.things import Vector

Pattern = Literal["plain", "checker", "stripes", "noise", "grain", "gradient"]
PATTERNS: tuple[Pattern, ...] = ("plain", "checker", "stripes", "noise", "grain", "gradient")
SURROUNDINGS = ("table", "floor", "wall", "arms", "fingers")  # what has a surface beside an episode's objects
LAMPS = 3  # at most
DISTRACTORS = 4  # at most
TEXTURES = 12  # different surfaces with a pattern at most


class LooksError(ValueError):
    """Looks that a scene cannot be given; the message says what does not fit."""


@dataclass(frozen=True)
class Surface:
    """A colour, and a pattern of it and an accent that repeats every `period` m.

    is_turned: by a quarter turn. seed: of the pattern's random parts. A plain surface has its colour only.
    """

    colour: Vector
    pattern: Pattern = "plain"
    accent: Vector = (0.0, 0.0, 0.0)
    period: float = 0.2
    is_turned: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Lamp:
    """A lamp at `position` that shines at the middle of the table; colour: what it adds to a white surface facing it.

    The first one is far away in that direction, like a window; the others are near, like a desk's lamp.
    """

    position: Vector
    colour: Vector


@dataclass(frozen=True)
class Lens:
    """What a camera does to a picture, in this order: blur (standard deviation in parts of the picture's width),
    exposure (factor) and white balance (factors of red, green and blue), noise (standard deviation, 255 is white),
    JPEG of a quality 1 to 100; None leaves it out.
    """

    blur: float = 0.0
    exposure: float = 1.0
    white_balance: Vector = (1.0, 1.0, 1.0)
    noise: float = 0.0
    jpeg: int | None = None


@dataclass(frozen=True)
class CameraLook:
    """How a camera is mounted beside where it is meant to be, in its own frame, and its lens.

    shift: (3,) m. turn: rotation vector (3,) rad. widening: deg that its field of view is wider.
    """

    shift: Vector = (0.0, 0.0, 0.0)
    turn: Vector = (0.0, 0.0, 0.0)
    widening: float = 0.0
    lens: Lens = Lens()


@dataclass(frozen=True)
class Distractor:
    """A thing that no goal is about, which stands on the table and cannot be moved.

    size: radius; radii of an ellipsoid; radius and half length of a cylinder, which stands, and of a capsule, which
    lies.
    """

    shape: Literal["sphere", "ellipsoid", "cylinder", "capsule"]
    size: Vector
    place: tuple[float, float]
    yaw: float
    surface: Surface

    @property
    def height(self) -> float:
        """m of its centre over the table."""
        return self.size[{"cylinder": 1, "ellipsoid": 2}.get(self.shape, 0)]

    @property
    def extent(self) -> float:
        """m around its place that it covers in the table's plane."""
        radius, second, _ = self.size
        return {"capsule": radius + second, "ellipsoid": max(radius, second)}.get(self.shape, radius)


@dataclass(frozen=True)
class Looks:
    """How everything looks in one episode, constant in time; what is left out stays as it is nominally.

    surfaces: by name, of SURROUNDINGS or `object/part`; parts that share a Surface share its pattern. lamps, ambient:
    all light there is. has_shadows: whether the first lamp casts them. cameras: by name. seed: of the noise.
    """

    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    lamps: tuple[Lamp, ...] = ()
    ambient: float = 0.35
    has_shadows: bool = False
    cameras: Mapping[str, CameraLook] = field(default_factory=dict)
    distractors: tuple[Distractor, ...] = ()
    seed: int = 0
