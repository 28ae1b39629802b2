"""What is kept of the estimate's errors: both rates with their intervals, controls that show that it is no guess."""

import numpy as np
import pytest
import torch

from clwm_embodichain.training.success.data import Looks
from clwm_embodichain.training.success.trainer import Sentences
from clwm_evaluation.measurements.success_estimate import errors_of, known_errors, page_tables
from clwm_policy.model.success_head import Sizes, SuccessFacts, SuccessHead

SIZES = Sizes(cameras=1, rows=1, columns=1, channels=2, text_width=4)
FACTS = SuccessFacts(encoder_sha256="e" * 64, sizes=SIZES, goals=("a", "b"), threshold=0.5, chunks=2)
COURSES = 10


class Seer(SuccessHead):
    """Knows by the first channel what holds, and by the first number of a sentence whether that was asked for."""

    def forward(self, features, language, dropout=0.0):
        return torch.where(language[:, 0] > 0.0, features.float()[:, 0, 0, 0, 0], -9.0)


@pytest.fixture
def errors():
    holds = np.tile([False] * 4 + [True] * 4, COURSES)
    features = np.where(holds, 9.0, -9.0)[:, None, None, None, None].repeat(2, axis=-1)
    course = np.repeat(np.arange(COURSES), 8)
    looks = Looks(features.astype(np.float16), np.zeros(len(holds), int), holds, course)
    asked, not_asked = torch.eye(4)[:1], torch.zeros(1, 4)
    sentences = Sentences((asked, not_asked), not_asked)
    return errors_of(Seer(SIZES), FACTS, looks, sentences, sentences)


def test_a_head_that_sees_is_told_from_guesses_and_from_itself_seeing_other_moments(errors):
    counts = {told: {name: rate["successes"] for name, rate in errors[told].items()} for told in errors if " " in told}
    assert errors["own"]["false_done"] == {"successes": 0, "episodes": COURSES, "wilson95": [0.0, 0.2775]}
    assert errors["own"]["missed_done"]["successes"] == 0 and errors["auroc"] == 1.0
    assert counts["never done"] == {"false_done": 0, "missed_done": COURSES}
    assert counts["always done"] == {"false_done": COURSES, "missed_done": 0}
    assert counts["other goal's sentence"]["false_done"] == counts["sentence of no goal"]["false_done"] == 0
    assert sum(counts["features of other moments"].values()) > COURSES // 2
    assert errors["brier"] < 0.01 < errors["brier_of_a_constant"]


def test_the_file_states_what_was_counted_and_the_table_shows_it(errors):
    by_condition = {"training": {"meaning": "looks of its training", "in_distribution": True, **errors}}
    stated = known_errors(by_condition)["training"]
    assert (stated.false_done.count, stated.missed_done.of, stated.is_useful) == (0, COURSES, True)
    rows = page_tables({"by_condition": by_condition})[0].rows
    assert rows[0][:3] == ["looks of its training", "own", "0 / 10"]
    assert [row[4] for row in rows if row[1] == "sentence of no goal"] == ["-"]
