"""Tiles: of the two colours, without seams, and the same for the same surface."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_sim.looks.looks import PATTERNS, Surface
from clwm_sim.looks.textures import TILE, tile

BLACK_TO_WHITE = Surface((0.0, 0.0, 0.0), accent=(1.0, 1.0, 1.0), seed=3)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_tile_has_the_two_colours_and_what_lies_between(pattern):
    pixels = tile(replace(BLACK_TO_WHITE, pattern=pattern, colour=(0.2, 0.4, 0.6), accent=(0.8, 0.4, 0.1)))
    assert pixels.shape == (TILE, TILE, 3) and pixels.dtype == np.uint8
    assert pixels[..., 0].min() >= 51 and pixels[..., 0].max() <= 204 and (pixels[..., 1] == 102).all()
    assert (np.ptp(pixels[..., 0]) > 60) == (pattern != "plain")


@pytest.mark.parametrize("pattern", ["noise", "grain", "gradient"])
@pytest.mark.parametrize("is_turned", [False, True])
def test_smooth_tile_repeats_without_a_seam(pattern, is_turned):
    pixels = tile(replace(BLACK_TO_WHITE, pattern=pattern, is_turned=is_turned))[..., 0].astype(int)
    for axis in (0, 1):
        inside = np.abs(np.diff(pixels, axis=axis)).max()
        seam = np.abs(pixels.take(0, axis) - pixels.take(-1, axis)).max()
        assert seam <= 1.3 * inside + 2


@pytest.mark.parametrize("pattern", ["noise", "grain", "stripes"])
def test_seed_says_what_is_random_in_a_pattern(pattern):
    surface = replace(BLACK_TO_WHITE, pattern=pattern)
    assert np.array_equal(tile(surface), tile(surface))
    assert any(not np.array_equal(tile(surface), tile(replace(surface, seed=seed))) for seed in range(4, 8))
