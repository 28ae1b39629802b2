"""Pictures of remounted cameras: what they show and what is said of it move together."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_embodichain.training.encoder import remounting
from clwm_embodichain.training.encoder.remounting import homography, remount
from clwm_embodichain.training.encoder.roles import SEGMENTS


@pytest.fixture
def always(monkeypatch):
    """Every picture, and far enough to be told from none at all where segments are coarse."""
    monkeypatch.setattr(remounting, "SHARE", 1.0)
    monkeypatch.setattr(remounting, "TURN", np.radians(10.0))


def test_a_point_stays_on_what_it_marks_and_so_does_its_segment(toy_frames, always):
    frames = toy_frames(30, 0)
    seen = remount(frames, np.random.default_rng(1))
    moved = np.linalg.norm((seen.pixels - frames.pixels)[..., 0, :], axis=-1)
    assert np.median(moved) > 5.0
    tray, found = SEGMENTS.index("tray"), 0
    for state, look, camera in np.ndindex(seen.images.shape[:3]):
        u, v = seen.pixels[state, look, camera, 0]
        red = np.argwhere(seen.images[state, look, camera, ..., 0] > 200)
        if min(u, v) < 6 or max(u, v) > 57:
            continue  # cut off at an edge
        np.testing.assert_allclose(red.mean(axis=0), [v, u], atol=1.5)
        segments = seen.segments[state, look, camera]
        if (segments == tray).any():
            found += 1
            np.testing.assert_allclose(4.0 * np.argwhere(segments == tray).mean(axis=0) + 2.0, [v, u], atol=5.0)
    assert found > 40


def test_the_world_stays_as_it_is_and_the_frames_given_are_not_touched(toy_frames, always):
    frames = toy_frames(3, 0)
    images = frames.images.copy()
    seen = remount(frames, np.random.default_rng(1))
    np.testing.assert_array_equal(frames.images, images)
    assert seen.poses is frames.poses and seen.present is frames.present
    assert seen.images.dtype == np.uint8 and seen.pixels.dtype == np.float32 and (seen.images != images).any()


def test_some_pictures_stay_as_sharp_as_they_were_and_a_point_behind_the_camera_stays_there(toy_frames):
    frames = toy_frames(20, 0)
    pixels = frames.pixels.copy()
    pixels[:, :, :, 1] = np.nan
    seen = remount(replace(frames, pixels=pixels), np.random.default_rng(1))
    same = (seen.images == frames.images).all(axis=(3, 4, 5))
    assert 0.3 < same.mean() < 0.7
    assert np.isnan(seen.pixels[:, :, :, 1]).all() and np.isfinite(seen.pixels[:, :, :, 0]).all()


def test_a_camera_turns_and_zooms_no_further_than_it_says():
    rng, centre = np.random.default_rng(0), np.array([63.5, 63.5, 1.0])
    moved = [homography(rng, 128) @ centre for _ in range(500)]
    away = [np.linalg.norm(each[:2] / each[2] - centre[:2]) for each in moved]
    limit = remounting.FOCAL * 128 * np.tan(remounting.TURN) * np.exp(remounting.ZOOM)
    assert 0.5 * limit < max(away) <= limit
