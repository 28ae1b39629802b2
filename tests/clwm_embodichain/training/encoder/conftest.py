"""Pictures with one bright square in which all points of the tray lie, for trainings of seconds."""

from __future__ import annotations

import numpy as np
import pytest

from clwm_embodichain.training.encoder.data import Frames
from clwm_embodichain.training.encoder.model import TrainingConfig
from clwm_embodichain.training.encoder.roles import OWNERS, ROLES, SEGMENTS

_SIDE = 64
_CONFIG = TrainingConfig(
    channels=32,
    layers=1,
    heads=2,
    image_size=_SIDE,
    states=4,
    steps=1000,
    learning_rate=5e-3,
    warm_up=2,
    ema=0.9,
    bfloat16=False,
)
_TRAY = ROLES.index("tray")


@pytest.fixture(scope="session")
def toy_config():
    return _CONFIG


@pytest.fixture(scope="session")
def toy_frames():
    """(count, seed) -> Frames"""
    return _toy_frames


def _toy_frames(count: int, seed: int) -> Frames:
    """States with a tray somewhere, in two looks: the same square on grey of two brightnesses."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(6, _SIDE - 7, (count, 1, 3, 1, 2)).repeat(2, axis=1)
    images = np.empty((count, 2, 3, _SIDE, _SIDE, 3), np.uint8)
    images[...] = rng.integers(20, 120, (count, 2, 1, 1, 1, 1))
    segments = np.full((count, 2, 3, _SIDE // 4, _SIDE // 4), SEGMENTS.index("table"), np.uint8)
    for state, look, camera in np.ndindex(count, 2, 3):
        u, v = places[state, look, camera, 0].round().astype(int)
        images[state, look, camera, v - 4 : v + 5, u - 4 : u + 5] = (250, 40, 40)
        segments[state, look, camera, v // 4, u // 4] = SEGMENTS.index("tray")
    poses = np.zeros((count, len(ROLES), 5), np.float32)
    poses[:, _TRAY, :2] = 0.48 + (places[:, 0, 0, 0] - _SIDE / 2) / 300.0
    poses[:, _TRAY, 4] = 1.0
    present = np.zeros((count, len(ROLES)), bool)
    present[:, _TRAY] = True
    pixels = np.broadcast_to(places, (count, 2, 3, len(OWNERS), 2)).astype(np.float32)
    return Frames(images, poses, present, pixels, segments)
