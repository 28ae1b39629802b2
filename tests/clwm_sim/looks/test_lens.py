"""What a lens does to a picture, one thing at a time."""

import numpy as np
import pytest

from clwm_sim.looks.lens import develop
from clwm_sim.looks.looks import Lens

GREY = np.full((64, 64, 3), 100, np.uint8)
EDGE = np.where(np.arange(64)[None, :, None] < 32, 40, 200).repeat(64, axis=0).repeat(3, axis=2).astype(np.uint8)


def test_nominal_lens_changes_nothing():
    assert np.array_equal(develop(EDGE, Lens(), (1,)), EDGE)


def test_exposure_and_white_balance_are_factors_and_white_is_the_end():
    seen = develop(np.full((4, 4, 3), 200, np.uint8), Lens(exposure=1.1, white_balance=(0.5, 1.0, 2.0)), (1,))
    assert tuple(seen[0, 0]) == (110, 220, 255)


def test_noise_is_as_strong_as_asked_without_shifting_the_mean_and_another_for_another_seed():
    first, other = (develop(GREY, Lens(noise=5.0), (3, number)).astype(float) for number in range(2))
    assert np.std(first) == pytest.approx(5.0, abs=0.3) and np.mean(first) == pytest.approx(100.0, abs=0.4)
    assert np.array_equal(first, develop(GREY, Lens(noise=5.0), (3, 0)))
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_blur_is_in_parts_of_the_width():
    def steepest(picture):
        return np.abs(np.diff(picture[:, :, 0].astype(int), axis=1)).max()

    large = EDGE.repeat(2, axis=0).repeat(2, axis=1)
    assert steepest(develop(large, Lens(blur=0.02), (1,))) < steepest(develop(EDGE, Lens(blur=0.02), (1,))) < 100


def test_jpeg_keeps_colours_in_order_and_loses_more_at_a_low_quality():
    colourful = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)

    def lost(quality):
        return np.abs(develop(colourful, Lens(jpeg=quality), (1,)).astype(int) - colourful).mean()

    assert 0.0 < lost(95) < lost(50) < 30.0
