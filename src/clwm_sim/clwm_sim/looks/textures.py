"""Patterns made by procedure, as the pixels of one tile that repeats without a seam."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_sim.looks.looks import Surface

TILE = 64  # px a side


def tile(surface: Surface) -> NDArray[np.uint8]:
    """RGB (TILE, TILE, 3) of a surface's pattern. Raises KeyError for a pattern that does not exist."""
    share = _SHARES[surface.pattern](np.random.default_rng(surface.seed))
    share = np.rot90(share, int(surface.is_turned))[..., None]
    colours = np.asarray(surface.colour) * (1.0 - share) + np.asarray(surface.accent) * share
    return np.round(255.0 * np.clip(colours, 0.0, 1.0)).astype(np.uint8)


# Shares of the accent, (TILE, TILE) in 0..1.


def _plain(_: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros((TILE, TILE))


def _checker(_: np.random.Generator) -> NDArray[np.float64]:
    half = np.arange(TILE) < TILE // 2
    return (half[:, None] ^ half[None]).astype(np.float64)


def _stripes(rng: np.random.Generator) -> NDArray[np.float64]:
    row = np.arange(TILE) < round(TILE * rng.uniform(0.2, 0.5))
    return np.tile(row.astype(np.float64), (TILE, 1))


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Of two sizes, smooth."""
    coarse, fine = (_smooth(rng.standard_normal((TILE, TILE)), sigma) for sigma in (rng.uniform(3.0, 6.0), 1.0))
    return np.clip(0.5 + 0.25 * coarse + 0.12 * fine, 0.0, 1.0)


def _grain(rng: np.random.Generator) -> NDArray[np.float64]:
    """Wood: lines along the tile that wander, of uneven width."""
    along, across = np.meshgrid(np.arange(TILE) / TILE, np.arange(TILE) / TILE)
    wander = 0.04 * _smooth(rng.standard_normal((TILE, TILE)), 8.0) + rng.uniform(0.02, 0.06) * np.sin(
        2 * np.pi * along
    )
    lines = np.sin(2.0 * np.pi * int(rng.integers(3, 7)) * (across + wander))
    fibre = _smooth(np.repeat(rng.standard_normal((TILE, 4)), TILE // 4, axis=1), 0.8)
    return np.clip(0.4 + 0.3 * lines + 0.12 * fibre, 0.0, 1.0)


def _gradient(_: np.random.Generator) -> NDArray[np.float64]:
    """From colour to accent and back, so that it repeats."""
    return np.tile(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(TILE) / TILE), (TILE, 1))


def _smooth(noise: NDArray, sigma: float) -> NDArray[np.float64]:
    """Blurred across the tile's borders, of standard deviation 1."""
    wide = np.tile(noise, (3, 3))
    blurred = cv2.GaussianBlur(wide, (0, 0), sigma)[TILE : 2 * TILE, TILE : 2 * TILE]
    return (blurred - blurred.mean()) / blurred.std()


_SHARES = {
    "plain": _plain,
    "checker": _checker,
    "stripes": _stripes,
    "noise": _noise,
    "grain": _grain,
    "gradient": _gradient,
}
