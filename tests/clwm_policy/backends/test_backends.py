"""One model, run by different means: the same chunks, and a clear word where one of them cannot run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clwm_common.files.model_files import ModelFiles
from clwm_policy.backends.calls import CALLS, examples, flatten, tensor_names, unflatten
from clwm_policy.backends.choice import check_parity, choose, open_backend
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.model.checkpoint import load_policy

NANO = ModelFiles.load("nano").policy


@pytest.fixture(scope="module")
def nano():
    torch.set_num_threads(1)
    return load_policy(NANO)


@pytest.fixture(scope="module")
def onnx(nano):
    return open_backend("onnxruntime", nano.model, NANO)


@pytest.fixture
def through_flat_calls(tiny_policy):
    model = tiny_policy.model
    return replace(tiny_policy, model=FlatModel(model, lambda name, tensors: CALLS[name](model, tensors), "flat"))


@pytest.mark.parametrize("re_entry", ["sequential", "fixed:0.5"])
def test_flat_calls_change_no_bit_of_an_episode(make_episode, through_flat_calls, re_entry):
    direct, flat = make_episode(re_entry), make_episode(re_entry, policy=through_flat_calls)
    for (chunk, _), (expected, _) in zip(flat.run(3), direct.run(3), strict=True):
        np.testing.assert_array_equal(chunk.rows, expected.rows)
    assert flat.engine.memory.digest() == direct.engine.memory.digest()


@torch.inference_mode()
def test_flat_previews_are_those_of_the_model(tiny_policy, through_flat_calls):
    model, flat = tiny_policy.model, through_flat_calls.model
    given = examples(model)
    layers = model.config.layers
    observed = unflatten(CALLS["encode_with_preview"].takes, given["encode_with_preview"].given, layers)
    memory = flat.initial_memory(1)
    arguments = [observed[name] for name in CALLS["encode_with_preview"].takes[1:]]
    context, residual = flat.encode_with_preview(memory, *arguments)
    expected_context, expected_residual = model.encode_with_preview(memory, *arguments)
    assert torch.equal(residual, expected_residual)
    acted = unflatten(CALLS["action_preview"].takes, given["action_preview"].given, layers)
    rest = acted["prediction"], acted["action"], acted["row_times"]
    rows, joined = flat.action_preview(memory, context, *rest)
    expected_rows, expected_joined = model.action_preview(memory, expected_context, *rest)
    assert torch.equal(rows, expected_rows)
    assert all(torch.equal(a, b) for a, b in zip(sum(joined.past, ()), sum(expected_joined.past, ()), strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_flattened_groups_come_back(tiny_policy, name):
    layers, takes = tiny_policy.model.config.layers, CALLS[name].takes
    tensors = examples(tiny_policy.model)[name].given
    assert len(tensor_names(takes, layers)) == len(set(tensor_names(takes, layers))) == len(tensors)
    assert all(a is b for a, b in zip(flatten(takes, unflatten(takes, tensors, layers)), tensors, strict=True))
    with pytest.raises(ValueError, match="expected"):
        unflatten(takes, tensors[1:], layers)


def test_a_backend_holds_one_memory(through_flat_calls):
    with pytest.raises(ValueError, match="batch of 2"):
        through_flat_calls.model.initial_memory(2)


def test_shipped_graphs_run_the_shipped_weights_as_torch_does(nano, onnx):
    assert check_parity(onnx, nano.model) < 1e-5


def test_shipped_graphs_hold_no_weights(nano):
    untrained = nano.randomised(seed=3).model
    assert check_parity(open_backend("onnxruntime", untrained, NANO), untrained) < 1e-5


def test_two_sessions_give_the_same_bits(nano, onnx):
    again = open_backend("onnxruntime", nano.model, NANO)
    for name, example in examples(nano.model, seed=1).items():
        first, second = onnx.run(name, example.given), again.run(name, example.given)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), name


def test_results_of_other_weights_are_refused(nano, onnx):
    with pytest.raises(BackendError, match="differs from torch.*clwm export"):
        check_parity(onnx, nano.randomised(seed=3).model)


def test_the_first_backend_that_can_run_is_chosen_and_says_why_others_are_not(nano):
    choice = choose(("tensorrt", "onnxruntime", "torch"), nano, NANO)
    assert choice.name == "onnxruntime"
    assert isinstance(choice.policy.model, FlatModel)
    (refused,) = choice.refused
    assert refused.startswith("not tensorrt: this onnxruntime has no TensorrtExecutionProvider")
    assert refused in str(choice)


def test_without_graphs_torch_runs_the_model(tiny_policy, tmp_path):
    choice = choose(("onnxruntime", "torch"), tiny_policy, tmp_path / "policy.safetensors")
    assert (choice.name, choice.policy) == ("torch", tiny_policy)
    assert "graphs.json cannot be read; run `clwm export`" in choice.refused[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("onxruntime",), "backend 'onxruntime' is unknown; expected a list of some of torch, onnxruntime"),
        ((), "no backend is named"),
        (("onnxruntime",), "no backend can run the model: not onnxruntime: .*'torch' runs everywhere"),
    ],
)
def test_a_list_of_which_none_can_run_is_refused(tiny_policy, tmp_path, names, message):
    with pytest.raises(BackendError, match=message):
        choose(names, tiny_policy, Path(tmp_path / "policy.safetensors"))
