"""Where known sentences end: the limit, the wordings that no training saw, and what the shipped policy states."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import read_policy_document
from clwm_embodichain.episodes.choices import choices, parse_choices
from clwm_embodichain.training.sentence_limit import best_limit, held_out_sentences, slot_values, unknown_sentences
from clwm_policy.model.known_sentences import KnownSentences
from clwm_policy.model.language import SentenceEncoder
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.registry import goal_kinds


def test_between_two_groups_that_lie_apart_the_limit_is_in_the_middle():
    assert best_limit([0.6, 0.9], [0.1, 0.4]) == pytest.approx(0.5)


def test_where_they_overlap_the_limit_is_where_fewest_are_on_the_wrong_side():
    assert best_limit([0.3, 0.7, 0.8, 0.9], [0.1, 0.2, 0.5]) == pytest.approx(0.6)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_no_place_between_two_numbers_is_better_than_the_limit(known, unknown):
    def right(limit):
        above, below = sum(it >= limit for it in known), sum(it < limit for it in unknown)
        return above / len(known) + below / len(unknown)

    numbers = sorted({*known, *unknown, -1.0, 1.0})
    limit = best_limit(known, unknown)
    assert -1.0 <= limit <= 1.0
    assert right(limit) >= max(right((a + b) / 2) for a, b in zip(numbers, numbers[1:], strict=False)) - 1e-6


def test_fifty_unknown_sentences_are_no_sentence_of_any_goal():
    taught = {text for goal in goal_kinds().values() for text in goal.training + goal.held_out}
    assert len(set(unknown_sentences())) == 50 and not taught & set(unknown_sentences())


def test_every_wording_that_no_training_sees_is_there_with_its_slots_filled():
    held_out = held_out_sentences(parse_choices("all"))
    assert set(held_out) == set(goal_kinds())
    assert all(len(set(held_out[kind])) == len(goal.held_out) for kind, goal in goal_kinds().items())
    assert not [text for texts in held_out.values() for text in texts if "{" in text]


def test_slots_say_all_that_goals_may_name():
    found = slot_values(parse_choices("blocks,switches"))
    assert set(found) == {"block", "pad", "upper", "lower", "lever", "way"}
    assert len(found["block"]) == 6 and found["way"] == ("down", "up")
    assert slot_values(choices("table")) == {}


@pytest.fixture(scope="module")
def shipped():
    torch.set_num_threads(1)
    inputs = read_policy_document(ModelFiles.load("nano").policy.with_suffix(".json")).inputs
    return KnownSentences(inputs, SentenceEncoder().embed)


@pytest.mark.parametrize("sentence", ["lift the tray", "Put the block on the pad!", "both arms, heave the tray up"])
def test_the_shipped_policy_knows_what_it_was_taught_in_other_words(shipped, sentence):
    assert shipped.problem_with(sentence) == ""


@pytest.mark.parametrize("sentence", ["dance", "open the window", *KeepStill.training[:2], *KeepStill.held_out[:2]])
def test_the_shipped_policy_refuses_what_nobody_taught_it(shipped, sentence):
    assert "the nearest is '" in shipped.problem_with(sentence)
