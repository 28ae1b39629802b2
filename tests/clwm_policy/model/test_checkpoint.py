"""Policies on disk: what is written comes back, what is damaged or foreign is refused by name."""

import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from clwm_common.files.policy_document import PolicyInputs
from clwm_common.files.signed_documents import document_hash
from clwm_policy.model.action_codec import ActionCodec, Normaliser
from clwm_policy.model.checkpoint import CheckpointError, Policy, load_policy, save_policy
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.feature_scale import FeatureScale
from clwm_policy.model.sizes import ClwmConfig
from clwm_policy.model.state_predictor import StatePredictor

TINY = ClwmConfig(width=24, layers=1, heads=2, ffn_width=48, memory_rank=8, feature_channels=6, text_width=10)
ENCODER = "ab" * 32
INPUTS = PolicyInputs(
    cameras=("head", "left_wrist", "right_wrist"),
    picture_size=(64, 48),
    layout_version=1,
    row_dt=0.05,
    execution_horizons=(12,),
    prefix_lengths=(1, 2, 4),
    sentences={"lift": ("lift the tray",)},
)


def make_policy():
    torch.manual_seed(0)
    unit = Normaliser(-np.ones(30), np.ones(30), np.ones(30, dtype=bool))
    scale = FeatureScale(np.zeros(6, np.float32), np.ones(6, np.float32), np.ones(6, np.float32))
    predictor = StatePredictor(np.zeros((30, 14)))
    return Policy(Clwm(TINY), ActionCodec(unit, unit, unit), scale, predictor, ENCODER, {"steps": 3}, inputs=INPUTS)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "policy.safetensors"
    save_policy(path, make_policy(), dtype=torch.float32)
    return path


def rewrite(path, **changes):
    """Change fields of the JSON and make its own hash right again, as an honest writer of another release would."""
    document = json.loads(path.with_suffix(".json").read_text()) | changes
    document["document_sha256"] = document_hash(document)
    path.with_suffix(".json").write_text(json.dumps(document))


def test_a_policy_comes_back_as_it_was(saved):
    original, loaded = make_policy(), load_policy(saved, ENCODER)
    for name, tensor in original.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name
    assert loaded.inputs == original.inputs
    assert loaded.facts == {"steps": 3} and len(loaded.policy_hash) == 64 and not loaded.model.training
    np.testing.assert_array_equal(loaded.codec.chunk.low, original.codec.chunk.low)


def test_half_precision_on_disk_is_float32_in_memory(tmp_path):
    save_policy(tmp_path / "p.safetensors", make_policy())
    assert next(load_policy(tmp_path / "p.safetensors").model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_truncated_file_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated"):
        load_policy(saved)


def test_a_single_flipped_bit_is_refused(saved):
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    with pytest.raises(CheckpointError, match="sha256"):
        load_policy(saved)


def test_an_edited_json_is_refused(saved):
    document = json.loads(saved.with_suffix(".json").read_text())
    document["normaliser"]["chunk"]["q99"][14] = 5.0
    saved.with_suffix(".json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="changed after it was written"):
        load_policy(saved)


def test_another_encoder_is_refused_with_both_names(saved):
    with pytest.raises(CheckpointError, match="abababababab.*cdcdcdcdcdcd"):
        load_policy(saved, "cd" * 32)


def test_weights_of_another_shape_are_refused_by_tensor(saved):
    rewrite(saved, config=dataclasses.asdict(TINY) | {"ffn_width": 96})
    with pytest.raises(CheckpointError, match="blocks.0.ffn_in.bias"):
        load_policy(saved)


def test_another_layout_version_is_refused(saved):
    rewrite(saved, layout_version=99)
    with pytest.raises(CheckpointError, match="layout version 99"):
        load_policy(saved)


def test_a_missing_size_is_refused_by_name(saved):
    config = dataclasses.asdict(TINY)
    del config["heads"]
    rewrite(saved, config=config)
    with pytest.raises(CheckpointError, match="heads"):
        load_policy(saved)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("config", "width"), 23, "field 'config': width 23 is not a multiple of heads 2"),
        (("config", "heads"), 0, r"field 'config.heads': .* greater than 0 \(got 0\)"),
        (("config", "layers"), 1.5, r"field 'config.layers': .*integer.* \(got 1.5\)"),
        (("config", "depth"), 3, r"field 'config.depth': Unexpected .* \(got 3\)"),
        (("features", "mean", 3), math.nan, r"field 'features.mean': entry \(3,\) is nan; expected finite"),
        (("features", "std", 2), 0.0, "field 'features': std of channel 2 is 0.0; expected more than 0"),
        (("features", "std"), [1.0], r"field 'features': statistics have shapes \[\(6,\), \(1,\), \(6,\)\]"),
        (("features", "colour"), 1, "field 'features.colour'"),
        (("normaliser", "lag", "q01", 2), 9.0, "field 'normaliser.lag': channel 2 has q01 >= q99; fit it again"),
        (("normaliser", "chunk", "q99"), [1.0], r"field 'normaliser.chunk.q99': has shape \(1,\); expected \(30,\)"),
        (("normaliser", "chunk", "mask"), None, "field 'normaliser.chunk.mask': has shape"),
        (("state_predictor", "coefficients"), [[0.0] * 3] * 30, r"has shape \(30, 3\); expected \(30, 14\)"),
        (
            ("state_predictor", "coefficients"),
            "wide",
            "field 'state_predictor.coefficients': cannot be read as",
        ),
    ],
)
def test_a_document_with_what_has_no_meaning_is_refused_by_field_and_value(saved, place, value, said):
    section = json.loads(saved.with_suffix(".json").read_text())[place[0]]
    inner = section
    for part in place[1:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    rewrite(saved, **{place[0]: section})
    with pytest.raises(CheckpointError, match=f"policy.json: .*{said}.*; export the policy again"):
        load_policy(saved)


def test_a_foreign_json_is_refused(saved):
    saved.with_suffix(".json").write_text('{"model_type": "dinov3_vit"}')
    with pytest.raises(CheckpointError, match="not a CLWM policy"):
        load_policy(saved)
    saved.with_suffix(".json").write_text("PK\x03\x04")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_policy(saved)


def test_a_missing_file_is_named(tmp_path, saved):
    with pytest.raises(CheckpointError, match="nowhere.json"):
        load_policy(tmp_path / "nowhere.safetensors")
    saved.unlink()
    with pytest.raises(CheckpointError, match="policy.safetensors cannot be read"):
        load_policy(saved)


def test_a_weight_that_is_not_finite_is_neither_written_nor_read(saved):
    before = saved.read_bytes(), saved.with_suffix(".json").read_bytes()
    policy = make_policy()
    policy.model.action_out.weight.data[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="'action_out.weight' has numbers that are not finite"):
        save_policy(saved, policy)
    policy.model.action_out.weight.data[0, 0] = 1e6  # finite, and beyond half precision
    with pytest.raises(CheckpointError, match="'action_out.weight' has numbers that are not finite"):
        save_policy(saved, policy)
    assert before == (saved.read_bytes(), saved.with_suffix(".json").read_bytes())
    poisoned = {name: tensor.clone() for name, tensor in make_policy().model.state_dict().items()}
    poisoned["action_out.weight"][0, 0] = float("inf")
    saved.write_bytes(save_tensors(poisoned))
    rewrite(saved, weights_sha256=hashlib.sha256(saved.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match="'action_out.weight' has numbers that are not finite"):
        load_policy(saved)


def test_the_random_control_differs_and_is_reproducible():
    policy = make_policy()
    first, second = policy.randomised(1), policy.randomised(1)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    assert first.model.action_out.weight.abs().max() > 0.0
    assert first.policy_hash == "random-1" and first.inputs == policy.inputs
