"""Calls with fixed inputs on a device, and models in a lower precision; what a CUDA graph needs, on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clwm_policy.backends.calls import examples
from clwm_policy.backends.choice import check_parity, choose
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.backends.placement import place, random_model
from clwm_policy.backends.segments import Segment, Segments, as_it_is


def segmented(policy, dtype=torch.float32, tolerance=1e-6):
    placed = place(policy.model, "cpu", dtype)
    return FlatModel(policy.model, Segments(placed, as_it_is), "segments", tolerance)


@pytest.mark.parametrize("re_entry", ["sequential", "fixed:0.5"])
def test_segments_make_the_chunks_of_the_model_though_branches_alternate(make_episode, tiny_policy, re_entry):
    direct = make_episode(re_entry)
    fixed = make_episode(re_entry, policy=replace(tiny_policy, model=segmented(tiny_policy)))
    for (chunk, _), (expected, _) in zip(fixed.run(4), direct.run(4), strict=True):
        np.testing.assert_array_equal(chunk.rows, expected.rows)
    assert fixed.engine.memory.digest() == direct.engine.memory.digest()


def test_what_was_given_last_is_not_copied_again():
    segment = Segment(lambda given: [given[0] + given[1]], [torch.zeros(2), torch.zeros(2)], as_it_is)
    context = torch.ones(2)
    assert segment([context, torch.ones(2)])[0].tolist() == [2.0, 2.0]
    context.fill_(5.0)  # against the rule, to see that nobody looks
    assert segment([context, torch.zeros(2)])[0].tolist() == [1.0, 1.0]
    assert segment([torch.full((2,), 7.0), torch.zeros(2)])[0].tolist() == [7.0, 7.0]


def test_results_of_earlier_calls_stay_as_they_were(tiny_policy):
    model = tiny_policy.model
    kept = torch.zeros(1)

    def same_storage(work):
        # As a CUDA graph does: every replay fills the same results.
        results = [tensor.clone() for tensor in work()]

        def replay():
            for result, new in zip(results, work(), strict=True):
                result.copy_(new)
            return results

        return replay

    segments = Segments(model, same_storage)
    first, second = examples(model, 1)["write"], examples(model, 2)["write"]
    with torch.inference_mode():
        kept = segments("write", first.given)
        segments("write", second.given)
    assert all(torch.equal(a, b) for a, b in zip(kept, first.expected, strict=True))


def test_in_bfloat16_the_memory_is_still_updated_in_float32(tiny_policy):
    low = segmented(tiny_policy, torch.bfloat16, tolerance=0.1)
    assert 1e-4 < check_parity(low, tiny_policy.model)
    context = examples(place(tiny_policy.model, "cpu", torch.bfloat16))["encode_context"].expected
    assert context[0].dtype == torch.bfloat16
    written = low.run("write", examples(tiny_policy.model)["write"].given)
    assert {tensor.dtype for tensor in written} == {torch.float32}


def test_random_models_are_reproducible_finite_and_of_one_seed(tiny_policy):
    config = tiny_policy.model.config
    one, same, other = (random_model(config, "cpu", torch.bfloat16, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert not torch.equal(one.visual_in.weight, other.visual_in.weight)
    assert all(torch.isfinite(tensor).all() for example in examples(one).values() for tensor in example.expected)
    names = {name for name, tensor in one.named_parameters() if tensor.dtype == torch.float32}
    assert names == {f"blocks.{i}.memory.{name}" for i in range(config.layers) for name in ("w1", "w2", "step_size")}
    assert not any(tensor.is_meta for tensor in [*one.parameters(), *one.buffers()])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_device_cuda_says_why(tiny_policy, tmp_path):
    choice = choose(("cuda", "torch"), tiny_policy, tmp_path / "policy.safetensors")
    assert choice.name == "torch"
    assert choice.refused[0].startswith("not cuda: no CUDA device: ")
    with pytest.raises(BackendError, match="no backend can run"):
        choose(("cuda",), tiny_policy, tmp_path / "policy.safetensors")
