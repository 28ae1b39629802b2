"""A made-up task for tests of the trainers: both arms glide to a goal that the features show."""

import numpy as np
import pytest
import torch

from clwm_embodichain.episodes.features import FeatureEpisode


@pytest.fixture(scope="session")
def made_up_episode():
    """(seed, goal) -> FeatureEpisode of 60 rows and 15 observations; the grippers close on the way."""
    return _episode


@pytest.fixture(scope="session")
def embed():
    """sentence -> (384,)"""
    return lambda sentence: torch.randn(384, generator=torch.Generator().manual_seed(len(sentence)))


@pytest.fixture(scope="session")
def jacobians():
    """Of an imaginary arm whose tool moves with its first six joints."""
    return lambda joints: np.tile(np.eye(6, 7), (2, 1, 1))


def _episode(seed, goal_name):
    rng = np.random.default_rng(seed)
    goal = rng.uniform(-0.5, 0.5, 14)
    share = np.minimum(np.arange(60) / 40, 1.0)[:, None]
    joints = share**2 * (3 - 2 * share) * goal
    turned = np.tile([1.0, 0.0, 0.0, 0.0], (60, 1))
    grippers = np.where(share > 0.6, 0.0, 0.08) * np.ones(2)
    rows = np.hstack([joints[:, :3], turned, joints[:, 7:10], turned, joints, grippers]).astype(np.float32)
    image_rows = np.arange(0, 60, 4)
    shown = np.hstack([np.tile(goal, (15, 1)), joints[image_rows]])
    projection = np.random.default_rng(7).normal(size=(28, 48 * 8))
    features = (shown @ projection).reshape(15, 3, 4, 4, 8).astype(np.float16)
    lagging = np.concatenate([rows[:1], rows[:-1]])
    plans = rows[np.minimum(image_rows[:, None] + np.arange(16), 59)]
    asked = np.zeros(15, dtype=np.int64)
    return FeatureEpisode(
        "table", (goal_name,), (f"do {goal_name}",), seed, asked, image_rows, features, plans, rows, lagging
    )
