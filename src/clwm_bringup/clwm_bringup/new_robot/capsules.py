"""Points of a link -> a capsule that contains them all: what the executor keeps clear of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHORTEST = 1e-3  # m; an axis needs a length


def containing_capsule(points: Array) -> tuple[Array, Array, float]:
    """Start (3,), end (3,) and radius of a capsule around points (n, 3) [m], the smallest by volume of some axes.

    The axes tried are the points' principal directions and those of their frame.
    """
    middle = points.mean(axis=0)
    _, _, principal = np.linalg.svd(points - middle, full_matrices=False)
    axes = [*principal, *np.eye(3)]
    return min((_along(points, axis / np.linalg.norm(axis)) for axis in axes), key=volume)


def volume(capsule: tuple[Array, Array, float]) -> float:
    """m^3."""
    start, end, radius = capsule
    return float(np.pi * radius**2 * (np.linalg.norm(end - start) + 4.0 / 3.0 * radius))


def _along(points: Array, axis: Array) -> tuple[Array, Array, float]:
    heights = points @ axis
    across = points - heights[:, None] * axis
    centre = _middle(across)
    aside = np.linalg.norm(across - centre, axis=1)
    radius = max(float(aside.max()), _SHORTEST)
    # A round end reaches so far beyond the axis where a point is not on the capsule's outside.
    beyond = np.sqrt(np.maximum(radius**2 - aside**2, 0.0))
    start, end = float((heights + beyond).min()), float((heights - beyond).max())
    if end - start < _SHORTEST:
        # Rounder than long: a short axis in the middle, and the radius that it takes.
        start, end = (start + end - _SHORTEST) / 2.0, (start + end + _SHORTEST) / 2.0
        outside = np.maximum(np.maximum(start - heights, heights - end), 0.0)
        radius = float(np.hypot(aside, outside).max())
    return centre + start * axis, centre + end * axis, radius


def _middle(across: Array) -> Array:
    """Middle of a circle around points that is near the smallest: it moves to the farthest, by less every time."""
    centre = across.mean(axis=0)
    for step in range(1, 200):
        away = across - centre
        farthest = int((away * away).sum(axis=1).argmax())
        centre = centre + away[farthest] / (step + 1.0)
    return centre
