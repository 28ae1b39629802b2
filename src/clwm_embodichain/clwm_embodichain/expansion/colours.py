"""Colours of an episode: named ones stay what they are called, and others cannot be taken for them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from clwm_sim.scenes.things import PALETTE, Vector

# A named colour's own range: hue by a share of the way to the next named one, saturation and value by factors from 1
# down. With `strength` it grows as far as the second figure.
NAMED_HUE = (0.15, 0.18)
NAMED_SATURATION = (0.15, 0.25)
NAMED_VALUE = (0.15, 0.20)
# Of all others: saturation from 0, and value around a middle.
SATURATION = (0.70, 1.0)
VALUE, VALUE_SPREAD = 0.56, (0.36, 0.42)

FAINT = 0.35  # saturation up to which a colour has no name
HUE_APART = 32.0 / 360.0  # from any named colour of the episode, where it is not faint
CONTRAST = 0.25  # distance in red, green and blue from what is seen behind it
_TRIES = 40


def bounded(spread: tuple[float, float], strength: float) -> float:
    """What a range (at strength 1, at most) is at a strength."""
    return min(spread[0] * strength, spread[1])


def named(rng: np.random.Generator, name: str, strength: float) -> Vector:
    """The colour that is called `name`, as some object may have it. Raises KeyError for one that has no name."""
    hue, saturation, value = colorsys.rgb_to_hsv(*PALETTE[name])
    around = [(_hue(other) - hue) % 1.0 for other in PALETTE.values() if other != PALETTE[name]]
    way = rng.uniform(-1.0, 1.0) * bounded(NAMED_HUE, strength)
    hue += way * (min(around) if way > 0.0 else 1.0 - max(around))
    saturation *= 1.0 - rng.uniform(0.0, bounded(NAMED_SATURATION, strength))
    value *= 1.0 - rng.uniform(0.0, bounded(NAMED_VALUE, strength))
    return _vector(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def unnamed(
    rng: np.random.Generator, nominal: Vector, taken: Sequence[Vector], behind: Sequence[Vector], strength: float
) -> Vector:
    """Any colour but those `taken` by what is named, that stands out from what is `behind` it.

    Below a strength of 1 it is nearer to the nominal one. Where no such colour is found soon, the best one is taken,
    faint enough to have no name.
    """
    best, most = nominal, -np.inf
    for _ in range(_TRIES):
        saturation = rng.uniform(0.0, bounded(SATURATION, strength))
        value = VALUE + rng.uniform(-1.0, 1.0) * bounded(VALUE_SPREAD, strength)
        drawn = np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value))
        colour = _vector(np.asarray(nominal) + min(strength, 1.0) * (drawn - nominal))
        margin = min(
            [_apart(colour, other) for other in taken] + [_contrast(colour, other) for other in behind] + [1.0]
        )
        if margin > most:
            best, most = colour, margin
        if most >= 0.0:
            break
    if any(_apart(best, other) < 0.0 for other in taken):
        hue, _, value = colorsys.rgb_to_hsv(*best)
        return _vector(colorsys.hsv_to_rgb(hue, FAINT, value))
    return best


def _apart(colour: Vector, name: Vector) -> float:
    """How much further than necessary a colour is from being called as another one is."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*colour)
    away = abs((hue - _hue(name) + 0.5) % 1.0 - 0.5)
    return max(away - HUE_APART, FAINT - saturation)


def _contrast(colour: Vector, other: Vector) -> float:
    return float(np.linalg.norm(np.subtract(colour, other))) - CONTRAST


def _hue(colour: Vector) -> float:
    return colorsys.rgb_to_hsv(*colour)[0]


def _vector(colour: Sequence[float]) -> Vector:
    red, green, blue = (float(each) for each in colour)
    return red, green, blue
