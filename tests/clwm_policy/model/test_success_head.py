"""The success head's file is whole or refused, and what it says of an instruction that it does not know is nothing."""

import math

import numpy as np
import pytest
import torch

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import CheckpointError, read_policy_document
from clwm_policy.errors import NoEstimate
from clwm_policy.model.known_sentences import KnownSentences
from clwm_policy.model.success_head import (
    FILE_NAME,
    KnownError,
    Rate,
    Sizes,
    SuccessFacts,
    SuccessHead,
    load_success_head,
    save_success_head,
)
from clwm_policy.success_estimate import SuccessEstimate, load_success_estimate

SIZES = Sizes(cameras=3, rows=2, columns=2, channels=6, text_width=384)
FACTS = SuccessFacts(encoder_sha256="e" * 64, sizes=SIZES, goals=("lift",), threshold=0.9, chunks=2)
FEATURES = np.random.default_rng(0).normal(size=(3, 2, 2, 6)).astype(np.float16)
WORDS = {"lift the tray": 0, "wave": 1, "put it down": 2}


def embed(sentence):
    return torch.nn.functional.one_hot(torch.tensor(WORDS[sentence]), 384).float()


@pytest.fixture
def head():
    torch.manual_seed(0)
    return SuccessHead(SIZES).eval()


@pytest.fixture
def known(tiny_policy):
    sentences = {"lift": ("lift the tray",), "place": ("put it down",)}
    inputs = tiny_policy.inputs.model_copy(update={"sentences": sentences, "least_similarity": 0.5})
    return KnownSentences(inputs, embed)


def test_what_was_saved_says_the_same_when_it_is_loaded(tmp_path, head):
    save_success_head(tmp_path / FILE_NAME, head, FACTS)
    loaded, facts = load_success_head(tmp_path / FILE_NAME)
    given = torch.as_tensor(FEATURES[None]), embed("lift the tray")[None]
    assert facts == FACTS and torch.equal(loaded(*given), head(*given))
    assert not (tmp_path / f"{FILE_NAME}.partial").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-40], "truncated, damaged"),
        (lambda data: data[:-4] + b"\x00\x00\x80\x3f", "was changed after it was written"),
        (lambda data: data.replace(b'\\"threshold\\":0.9', b'\\"threshold\\":0.1'), "was changed after it was written"),
        (lambda data: data.replace(b"clwm-success/1", b"clwm-success/9"), "is not a success head"),
    ],
)
def test_a_file_that_is_not_what_was_written_is_refused_with_the_remedy(tmp_path, head, spoil, message):
    path = tmp_path / FILE_NAME
    save_success_head(path, head, FACTS)
    data = spoil(path.read_bytes())
    assert data != path.read_bytes()
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_success_head(path)
    assert "clwm train-success" in str(refused.value)


def test_a_policy_without_a_head_or_with_one_of_another_encoder_has_no_estimate(tmp_path, head, known):
    checkpoint = tmp_path / "policy.safetensors"
    with pytest.raises(CheckpointError, match="the policy has no success head"):
        load_success_estimate(checkpoint, "e" * 64, known)
    save_success_head(tmp_path / FILE_NAME, head, FACTS)
    with pytest.raises(CheckpointError, match="reads features of encoder eeeeeeeeeeee..., the policy's is ffff"):
        load_success_estimate(checkpoint, "f" * 64, known)
    assert 0.0 < load_success_estimate(checkpoint, "e" * 64, known).probability(FEATURES, "lift the tray") < 1.0


def test_of_what_it_does_not_know_the_head_says_nothing(head, known):
    estimate = SuccessEstimate(head, FACTS, known)
    assert estimate.require("lift the tray") == FACTS
    for instruction, why in (("wave", "knows nothing of 'wave'"), ("put it down", "knows lift, and not place")):
        assert math.isnan(estimate.probability(FEATURES, instruction))
        with pytest.raises(NoEstimate, match=why):
            estimate.require(instruction)
    assert math.isnan(estimate.probability(FEATURES[:2], "lift the tray"))


def test_features_that_are_not_finite_are_no_success(head, known):
    spoilt = FEATURES.copy()
    spoilt[0, 0, 0, 0] = np.nan
    assert math.isnan(SuccessEstimate(head, FACTS, known).probability(spoilt, "lift the tray"))


def test_the_known_error_is_told_for_what_looks_as_in_training_and_for_what_does_not():
    assert FACTS.known_error() == "nobody has measured how often it is wrong"
    rates = {"false_done": Rate(count=1, of=80), "missed_done": Rate(count=2, of=40)}
    errors = {
        "training": KnownError(meaning="looks of the training", in_distribution=True, **rates),
        "cameras-off": KnownError(meaning="cameras off", in_distribution=False, **rates),
    }
    told = FACTS.model_copy(update={"errors": errors}).known_error()
    assert "as in its training: looks of the training: wrongly done 1 of 80, missed 2 of 40" in told
    assert "unlike its training: cameras off: wrongly done" in told and len(told.encode()) <= 512


def test_the_shipped_head_reads_the_shipped_encoder_and_states_its_errors():
    policy = ModelFiles.load("nano").policy
    document = read_policy_document(policy.with_suffix(".json"))
    _, facts = load_success_head(policy.with_name(FILE_NAME))
    config, inputs = document.content["config"], document.inputs
    assert facts.encoder_sha256 == document.encoder_hash and set(facts.goals) <= inputs.sentences.keys()
    assert facts.sizes.channels == config["feature_channels"] and facts.sizes.cameras == len(inputs.cameras)
    assert {error.in_distribution for error in facts.errors.values()} == {True, False}
    assert "as in its training" in facts.known_error() and len(facts.known_error().encode()) <= 512
