"""A head learns what holds, of the goal that is asked for and of no other, and states probabilities."""

import numpy as np
import pytest
import torch
import typer

from clwm_embodichain.training.success.courses import GOALS, Courses
from clwm_embodichain.training.success.data import Looks, collect
from clwm_embodichain.training.success.train import ranges
from clwm_embodichain.training.success.trainer import Sentences, Settings, calibrate, fit, probabilities

WIDTH = 8
QUICK = Settings(steps=400, batch=64, learning_rate=5e-3)


def sentences():
    """Two of each kind, told apart by their embeddings."""
    rows = torch.eye(WIDTH)
    return Sentences((rows[0:2], rows[2:4]), rows[4:6])


def looks(courses=40, seed=0):
    """Courses of eight looks, the later half done; what tells is in one channel of one place for each goal."""
    rng = np.random.default_rng(seed)
    goal = np.repeat(np.arange(courses) % 2, 8)
    holds = np.tile(np.arange(8) >= 4, courses)
    features = rng.normal(size=(len(goal), 2, 2, 2, 4))
    features[np.arange(len(goal)), 0, 0, 0, goal] = np.where(holds, 3.0, -3.0)
    return Looks(features.astype(np.float16), goal, holds, np.repeat(np.arange(courses), 8))


def test_a_head_tells_what_holds_from_what_does_not_and_knows_what_was_asked_for():
    told, seen = sentences(), looks(seed=1)
    head = fit(looks(), told, QUICK)
    threshold = calibrate(head, looks(seed=2), told, QUICK)
    own, other, none = (probabilities(head, seen, told, kind) for kind in (0, 1, 2))
    assert ((own >= threshold) == seen.holds).mean() > 0.9
    assert (other >= threshold).mean() < 0.03 and (none >= threshold).mean() < 0.03
    assert np.mean((own - seen.holds) ** 2) < 0.05


def test_the_same_looks_and_seed_give_the_same_head():
    one, other = (fit(looks(), sentences(), Settings(steps=20, batch=16)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_what_was_played_is_kept_and_not_played_again(tmp_path):
    said = []

    def encode(pictures):
        assert pictures.shape == (3, 128, 128, 3)
        return np.zeros((3, 1, 1, 2), np.float16)

    def seldom(stage, rng):
        stage.randomise_appearance(rng, 1.0, 1.0)

    first = collect(tmp_path, {"plain": seldom}, range(1), encode, said.append)["plain"]
    assert set(first.goal) == {0, 1} and len(said) == 1 and first.features.shape[1:] == (3, 1, 1, 2)
    again = collect(tmp_path, {"plain": seldom}, range(1), pytest.fail, said.append)["plain"]
    assert len(said) == 1 and np.array_equal(again.holds, first.holds)


def test_a_goal_that_is_reached_is_undone_again():
    courses = Courses(image_size=32)
    for goal, seed in (("lift_tray", 1), ("place_block", 4)):
        holds = [world.goal.is_achieved(*[world.situation()] * 2) for world in courses.play(goal, seed, stride=6)]
        assert not holds[0] and any(holds) and not holds[-1], (goal, holds)
    assert GOALS == ("lift_tray", "place_block")
    courses.close()


@pytest.mark.parametrize("text", ["", "7", "5-3", "0-500", "-1-4", "0-9,", "a-b"])
def test_seeds_of_a_training_are_ranges_below_those_of_the_calibration(text):
    assert ranges("0-1,8-8") == [range(0, 2), range(8, 9)]
    with pytest.raises(typer.BadParameter, match="expected ranges below 500"):
        ranges(text)
