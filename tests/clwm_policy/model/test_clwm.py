"""The model: what attends to what, and what committed rows do."""

from dataclasses import replace

import pytest
import torch

from clwm_policy.model.clwm import Clwm
from clwm_policy.model.flow import clamp_prefix, integrate, row_times
from clwm_policy.model.sizes import PRESETS, ClwmConfig

TINY = ClwmConfig(width=24, layers=2, heads=2, ffn_width=48, memory_rank=8, feature_channels=6, text_width=10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Clwm(TINY).eval()
    for out in (model.video_out, model.action_out):
        torch.nn.init.normal_(out.weight, std=0.2)
    return model


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def observation(batch=1):
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    return (
        draw(batch, 48, 6),
        draw(batch, 60),
        draw(batch, 12, 30),
        torch.ones(batch, 12, dtype=torch.bool),
        draw(batch, 10),
    )


def prepared(model, batch=1):
    memory = model.initial_memory(batch)
    context = model.encode_context(memory, *observation(batch))
    return model.write(memory, context), context


def test_denoising_leaves_the_context_as_it_was(model):
    memory, context = prepared(model)
    before = [k.clone() for k, _ in context.past]
    model.video_velocity(memory, context, torch.randn(1, 48, 6), torch.zeros(1))
    assert all(torch.equal(k, old) for (k, _), old in zip(context.past, before, strict=True))


def test_several_noises_on_one_context_give_what_each_gives_alone(model):
    memory, context = prepared(model, batch=2)
    x, s = torch.randn(6, 16, 30), torch.rand(6, 16)
    together = model.action_velocity(memory, context, x, s)
    memories, contexts = zip(*(prepared_single(model, entry) for entry in range(2)), strict=True)
    for entry in range(6):
        alone = model.action_velocity(
            memories[entry // 3], contexts[entry // 3], x[entry : entry + 1], s[entry : entry + 1]
        )
        torch.testing.assert_close(together[entry : entry + 1], alone, atol=1e-4, rtol=1e-4)


def prepared_single(model, entry):
    memory = model.initial_memory(1)
    context = model.encode_context(memory, *(part[entry : entry + 1] for part in observation(2)))
    return model.write(memory, context), context


def test_committed_rows_come_out_exactly_as_they_went_in(model):
    memory, context = prepared(model)
    prefix = torch.randn(1, 4, 30)
    start = clamp_prefix(torch.randn(1, 16, 30), prefix)
    chunk = integrate(lambda x, s: model.action_velocity(memory, context, x, row_times(s, 4, 16)), start, 5)
    assert torch.equal(chunk[:, :4], prefix)
    assert not torch.equal(chunk[:, 4:], start[:, 4:])


def test_rows_to_be_made_depend_on_the_committed_ones(model):
    memory, context = prepared(model)
    x, times = torch.randn(1, 16, 30), row_times(0.5, 4, 16)
    moved = x.clone()
    moved[:, :4] += 1.0
    first, second = (model.action_velocity(memory, context, rows, times) for rows in (x, moved))
    assert not torch.allclose(first[:, 4:], second[:, 4:])


def test_velocity_points_at_the_clean_answer(model):
    memory, context = prepared(model)
    x, s = torch.randn(1, 48, 6), torch.tensor([0.75])
    velocity = model.video_velocity(memory, context, x, s)
    torch.testing.assert_close(x + 0.25 * velocity, model.video_clean(memory, context, x, s), atol=1e-5, rtol=1e-5)


def test_every_input_reaches_the_chunk(model):
    def chunk(parts, memory=None):
        memory = memory or model.initial_memory(1)
        context = model.encode_context(memory, *parts)
        return model.action_velocity(memory, context, torch.ones(1, 16, 30), torch.zeros(1, 16))

    plain = observation()
    reference = chunk(plain)
    for position in (0, 1, 2, 4):
        changed = list(plain)
        changed[position] = changed[position] + 0.5
        assert not torch.allclose(chunk(changed), reference, atol=1e-6), f"input {position} has no effect"
    hidden = list(plain)
    hidden[3] = torch.zeros_like(plain[3])
    assert not torch.allclose(chunk(hidden), reference, atol=1e-6)
    written, _ = prepared(model)
    assert not torch.equal(chunk(plain, written), reference)


def test_masked_executed_rows_have_no_effect(model):
    features, proprioception, executed, _, language = observation()
    mask = torch.zeros(1, 12, dtype=torch.bool)
    first, second = (
        model.encode_context(model.initial_memory(1), features, proprioception, rows, mask, language).past[-1][0]
        for rows in (executed, executed + 3.0)
    )
    assert torch.equal(first, second)


def test_the_prediction_reaches_stage_two_by_context_and_by_memory(model):
    memory, context = prepared(model)
    x, s = torch.randn(1, 16, 30), torch.zeros(1, 16)
    results = []
    for scale in (0.0, 1.0):
        working, extended = model.absorb(memory, context, torch.full((1, 48, 6), scale))
        results.append((model.action_velocity(working, context, x, s), model.action_velocity(memory, extended, x, s)))
    for by_memory, by_context in zip(*results, strict=True):
        assert not torch.equal(by_memory, by_context)
    assert not torch.equal(results[0][0], results[1][0])
    assert not torch.equal(results[0][1], results[1][1])


def test_patches_are_put_back_where_they_came_from(model):
    features = torch.randn(2, 48, 6)
    assert torch.equal(model.from_patches(model.to_patches(features)), features)
    # The first patch is the upper left 2 x 2 tokens of the first camera's 4 x 4 grid.
    assert torch.equal(model.to_patches(features)[0, 0].reshape(4, 6), features[0, [0, 1, 4, 5]])


def test_a_wrong_shape_is_refused_by_name(model):
    parts = list(observation())
    parts[0] = torch.randn(1, 47, 6)
    with pytest.raises(ValueError, match=r"features has shape \(1, 47, 6\); expected \(1, 48, 6\)"):
        model.encode_context(model.initial_memory(1), *parts)


def test_the_paper_size_is_a_preset():
    config = PRESETS["wan5b"]
    assert (config.layers, config.width, config.heads, config.ffn_width, config.text_width) == (
        30,
        3072,
        24,
        14336,
        4096,
    )
    assert config.width // config.heads == 128


def test_sizes_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="not a multiple of heads"):
        ClwmConfig(width=190)


def test_what_a_token_of_the_instruction_says_reaches_the_action_from_its_place_and_absent_tokens_say_nothing():
    torch.manual_seed(0)
    model = Clwm(replace(TINY, text_tokens=3)).eval()
    given = [torch.randn(1, *shape) for shape in ((48, 6), (60,), (12, 30))]
    mask = torch.ones(1, 12, dtype=torch.bool)
    one, other = torch.randn(2, 10)

    def keys(*tokens: torch.Tensor) -> torch.Tensor:
        context = model.encode_context(model.initial_memory(1), *given, mask, torch.cat(tokens)[None])
        return context.past[-1][0]

    nothing = torch.zeros(10)
    assert not torch.allclose(keys(one, other, nothing), keys(other, one, nothing))
    # Only the direction of a state counts, so a sentence is as loud as another.
    torch.testing.assert_close(keys(one, other, nothing), keys(3.0 * one, other, nothing))
    with pytest.raises(ValueError, match=r"language has shape \(1, 20\); expected \(1, 30\)"):
        keys(one, other)
