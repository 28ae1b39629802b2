"""Draws how an episode looks. Every range is given at strength 1, and as far as it goes when that is larger.

Two parts of expansion meet here: `visual` varies what is seen, `mounting` from where cameras see it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.expansion.colours import bounded, named, unnamed
from clwm_embodichain.expansion.distractors import draw_distractors
from clwm_embodichain.expansion.parts import Expansion
from clwm_sim.cameras import CAMERAS
from clwm_sim.looks.dressing import LAMP_TARGET
from clwm_sim.looks.looks import (
    DISTRACTORS,
    LAMPS,
    PATTERNS,
    SURROUNDINGS,
    TEXTURES,
    CameraLook,
    Lamp,
    Lens,
    Looks,
    Surface,
)
from clwm_sim.looks.views import head_sees
from clwm_sim.scenes.base import HEAD_FOVY
from clwm_sim.scenes.things import PALETTE, Layout, Thing, Vector
from clwm_sim.scenes.workcell import COLOURS
from clwm_sim.situation import Situation, State

PATTERN_SHARE = (0.35, 0.8)  # of the surfaces whose colour nobody names
PERIOD = {"table": (0.06, 0.5), "floor": (0.2, 1.0), "wall": (0.1, 1.0), "arms": (0.05, 0.3)}  # fingers have none
OBJECT_PERIOD = (0.015, 0.08)  # m
_NOMINAL = {"table": COLOURS["table"], "floor": COLOURS["floor"], "arms": COLOURS["arm"], "fingers": COLOURS["finger"]}
_WALL = (0.5, 0.5, 0.5)

# Light on a white surface: nominally about 0.35 from everywhere and 0.7 from lamps.
AMBIENT, AMBIENT_SPREAD = 0.35, (0.10, 0.17)
LIGHT, LIGHT_SPREAD = 0.70, (0.20, 0.30)
TINT = (0.08, 0.10)  # of a lamp: relative, red and blue against each other, green alone half of it
HEIGHT = (35.0, 85.0)  # deg over the table
AWAY = (0.7, 1.4)  # m
SHADOW_SHARE = (0.03, 0.06)  # of episodes: a picture with shadows takes four times the time

SHIFT = (0.03, 0.045)  # m of a camera
TURN = (np.radians(3.0), np.radians(5.0))
WIDENING = (2.0, 4.0)  # deg
HEAD = CAMERAS[0]
_TRIES = 50
NOMINAL_SHARE = 0.25  # of the episodes look as the robot's own cameras see the plain scene
STRENGTHS = (0.3, 1.0)  # of the others

EXPOSURE = (0.15, 0.25)  # natural logarithm of the factor
WHITE_BALANCE = (0.06, 0.08)  # natural logarithm of red's and blue's
BLUR = (0.006, 0.012)  # of a picture's width
NOISE = (6.0, 14.0)  # in steps of a half, of each of which the lens keeps its grain
JPEG_SHARE = (0.25, 0.5)
WORST_JPEG = (45.0, 70.0)  # under a quality of 95


def draw_for(rng: np.random.Generator, layout: Layout, expansion: Expansion) -> Looks:
    """The looks of an episode of a training, with whichever of the parts are on: nominal, or of any strength."""
    is_nominal, strength = rng.random() < NOMINAL_SHARE, float(rng.uniform(*STRENGTHS))
    (mounts,) = rng.spawn(1)
    strengths = [strength if part in expansion else 0.0 for part in ("visual", "mounting")]
    drawn = draw(rng, layout, *strengths, mounts)
    if is_nominal:
        return Looks(seed=drawn.seed)
    return drawn if "visual" in expansion else Looks(cameras=drawn.cameras, seed=drawn.seed)


def draw(
    rng: np.random.Generator,
    layout: Layout,
    strength: float = 1.0,
    mounting: float | None = None,
    mounts: np.random.Generator | None = None,
) -> Looks:
    """The looks of one episode; at strength 0 about the nominal ones. mounting, mounts: strength of how cameras are
    shifted, turned and widened, and what that is drawn from, where they are others.
    """
    mounting, mounts = strength if mounting is None else mounting, mounts or rng
    surfaces = _surfaces(rng, layout, strength)
    taken = _taken(layout)
    table = _behind(surfaces["table"])
    return Looks(
        surfaces=surfaces,
        lamps=_lamps(rng, strength),
        ambient=AMBIENT + _spread(rng, AMBIENT_SPREAD, strength),
        has_shadows=bool(rng.random() < bounded(SHADOW_SHARE, strength)),
        cameras={
            name: _mounted(_lens(rng, strength), mounts, mounting, layout if name == HEAD else None) for name in CAMERAS
        },
        distractors=draw_distractors(
            rng, layout, strength, lambda: _surface(rng, _WALL, taken, table, OBJECT_PERIOD, strength)
        ),
        seed=int(rng.integers(1 << 31)),
    )


def _surfaces(rng: np.random.Generator, layout: Layout, strength: float) -> dict[str, Surface]:
    taken = _taken(layout)
    surfaces = {}
    for name in SURROUNDINGS:
        nominal = _vector(_NOMINAL.get(name, _WALL))
        behind = taken if name == "table" else ()
        surfaces[name] = _surface(rng, nominal, taken, behind, PERIOD.get(name), strength)
    table = _behind(surfaces["table"])
    room = TEXTURES - DISTRACTORS - sum(each.pattern != "plain" for each in surfaces.values())
    for thing in layout.things.values():
        drawn: dict[Vector, Surface] = {}  # parts of one colour go on having one
        for part in thing.parts:
            if part.colour not in drawn:
                is_named = bool(thing.colour) and part.colour == PALETTE[thing.colour]
                period = OBJECT_PERIOD if room > 0 else None
                drawn[part.colour] = (
                    Surface(named(rng, thing.colour, strength))
                    if is_named
                    else _surface(rng, part.colour, taken, table, period, strength)
                )
                room -= drawn[part.colour].pattern != "plain"
            surfaces[f"{thing.name}/{part.name}"] = drawn[part.colour]
    return surfaces


def _surface(
    rng: np.random.Generator,
    nominal: Vector,
    taken: Sequence[Vector],
    behind: Sequence[Vector],
    period: tuple[float, float] | None,
    strength: float,
) -> Surface:
    """Any surface of a colour that nobody names."""
    colour = unnamed(rng, nominal, taken, behind, strength)
    if period is None or rng.random() >= bounded(PATTERN_SHARE, strength):
        return Surface(colour)
    return Surface(
        colour,
        pattern=PATTERNS[rng.integers(1, len(PATTERNS))],
        accent=unnamed(rng, nominal, taken, behind, strength),
        period=float(np.exp(rng.uniform(*np.log(period)))),
        is_turned=bool(rng.random() < 0.5),
        seed=int(rng.integers(1 << 31)),
    )


def _taken(layout: Layout) -> list[Vector]:
    return [PALETTE[colour] for colour in sorted({thing.colour for thing in layout.things.values()} - {""})]


def _behind(surface: Surface) -> list[Vector]:
    return [surface.colour] if surface.pattern == "plain" else [surface.colour, surface.accent]


def _lamps(rng: np.random.Generator, strength: float) -> tuple[Lamp, ...]:
    number = int(rng.integers(1, LAMPS + 1))
    light = LIGHT + _spread(rng, LIGHT_SPREAD, strength)
    shares = rng.dirichlet(np.full(number, 2.0))
    lamps = []
    for share in shares:
        turn, height = rng.uniform(0.0, 2.0 * np.pi), np.radians(rng.uniform(*HEIGHT))
        direction = np.array([np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)])
        warmth, green = _spread(rng, TINT, strength), 0.5 * _spread(rng, TINT, strength)
        colour = light * share * np.array([1.0 + warmth, 1.0 + green, 1.0 - warmth])
        lamps.append(Lamp(_vector(LAMP_TARGET + rng.uniform(*AWAY) * direction), _vector(colour)))
    return tuple(lamps)


def _lens(rng: np.random.Generator, strength: float) -> Lens:
    red, blue = (float(np.exp(_spread(rng, WHITE_BALANCE, strength))) for _ in range(2))
    jpeg = None
    if rng.random() < bounded(JPEG_SHARE, strength):
        jpeg = round(95.0 - rng.uniform(0.0, bounded(WORST_JPEG, strength)))
    return Lens(
        blur=float(rng.uniform(0.0, bounded(BLUR, strength))),
        exposure=float(np.exp(_spread(rng, EXPOSURE, strength))),
        white_balance=(red, 1.0, blue),
        noise=round(2.0 * rng.uniform(0.0, bounded(NOISE, strength))) / 2.0,
        jpeg=jpeg,
    )


def _mounted(lens: Lens, rng: np.random.Generator, strength: float, in_view: Layout | None) -> CameraLook:
    """in_view: whose objects it has in its picture at the start."""
    for _ in range(_TRIES):
        shift, turn = (_within(rng, bounded(radius, strength)) for radius in (SHIFT, TURN))
        look = CameraLook(shift, turn, _spread(rng, WIDENING, strength), lens)
        if in_view is None or head_sees(_points(in_view), look, HEAD_FOVY):
            break
    return look


def _points(layout: Layout) -> NDArray[np.float64]:
    """Where objects are and can be taken, now or later: (n, 3) m."""
    now = Situation.at_start(layout, np.zeros((2, 3)), np.zeros(2))
    points = [place for name, state in now.objects.items() for place in _places(state, layout.things[name])]
    points += [np.array([*change.place, 0.0]) for change in layout.changes if change.place is not None]
    return np.array(points).reshape(-1, 3)


def _places(state: State, thing: Thing) -> list[NDArray[np.float64]]:
    return [state.position, *(state.at(grip) for grip in thing.grips)]


def _spread(rng: np.random.Generator, spread: tuple[float, float], strength: float) -> float:
    return float(rng.uniform(-1.0, 1.0) * bounded(spread, strength))


def _within(rng: np.random.Generator, radius: float) -> Vector:
    """Any direction, any length up to `radius`."""
    direction = rng.normal(size=3)
    return _vector(direction / np.linalg.norm(direction) * rng.uniform(0.0, radius))


def _vector(numbers: Sequence[float]) -> Vector:
    x, y, z = (float(number) for number in tuple(numbers)[:3])
    return x, y, z
