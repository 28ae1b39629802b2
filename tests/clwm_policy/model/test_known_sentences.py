"""Which sentences a policy knows, by embeddings that count words."""

import zlib

import pytest
import torch

from clwm_common.files.policy_document import PolicyInputs
from clwm_policy.model.known_sentences import KnownSentences

COLOURS = ("blue", "green", "red", "yellow")
FIELDS = {
    "cameras": ("head",),
    "picture_size": (32, 32),
    "layout_version": 1,
    "row_dt": 0.05,
    "execution_horizons": (12,),
    "prefix_lengths": (4,),
    "sentences": {
        "place": ("put the {block} block on the {pad} pad",),
        "turn": ("turn the {lever} lever {way}",),
        "still": ("keep still",),
    },
    "slots": {"block": COLOURS, "pad": COLOURS, "lever": COLOURS, "way": ("down", "up")},
}


def embed(sentence):
    vector = torch.zeros(384)
    for word in sentence.lower().split():
        vector[zlib.crc32(word.encode()) % 384] += 1.0
    return vector


def known(**changes):
    return KnownSentences(PolicyInputs(**FIELDS | {"least_similarity": 0.5} | changes), embed)


@pytest.mark.parametrize(
    "sentence",
    [
        "put the yellow block on the red pad",
        "put the red block on the blue pad",
        "turn the yellow lever up",
        "turn the red lever down",
        "keep still",
    ],
)
def test_a_taught_sentence_is_its_own_nearest_whatever_it_names(sentence):
    found = known().nearest(sentence)
    assert (found.sentence, round(found.similarity, 5)) == (sentence, 1.0)


def test_a_sentence_is_answered_with_the_nearest_in_its_own_colours_and_what_that_asks_for():
    found = known().nearest("now put the Yellow block onto the green pad")
    assert (found.sentence, found.goal) == ("put the yellow block on the green pad", "place")
    assert 0.5 < found.similarity < 1.0


def test_colours_in_another_order_are_no_other_sentence():
    one, other = (known().nearest(f"on the {a} pad put the {b} block") for a, b in (("red", "blue"), ("blue", "red")))
    assert one.similarity == pytest.approx(other.similarity)


def test_the_same_colour_named_twice_is_one_colour():
    assert known().nearest("put the red block on the red pad").similarity > 0.8


def test_an_unknown_sentence_is_refused_with_the_nearest_the_limit_and_what_to_do():
    said = known().problem_with("dance on the table")
    assert "'dance on the table' is unlike all that the policy was trained with; the nearest is 'put the blue" in said
    assert "known from 0.50 on" in said and "--insist" in said
    assert known().problem_with("keep still") == ""


def test_a_long_sentence_fits_into_the_answer():
    assert len(known().problem_with(30 * "sing " + "!")) < 512


def test_a_policy_without_a_limit_refuses_nothing():
    assert known(least_similarity=None).problem_with("dance") == ""


def test_a_limit_without_what_the_slots_may_name_is_refused():
    with pytest.raises(ValueError, match="have a slot 'block' of which slots does not say"):
        known(slots={})
    PolicyInputs(**FIELDS | {"slots": {}})
