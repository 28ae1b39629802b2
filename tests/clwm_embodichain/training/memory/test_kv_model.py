"""The baseline with keys and values: it sees all of its history, grows with it, and obeys its window."""

import pytest
import torch

from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_policy.engine.encoded import Conditions, Draw, Encoded
from clwm_policy.engine.program import Sequential
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

TINY = ClwmConfig(width=24, layers=2, heads=2, ffn_width=48, memory_rank=8, feature_channels=6, text_width=10, grid=2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = KvClwm(TINY).eval()
    for out in (model.video_out, model.action_out):
        torch.nn.init.normal_(out.weight)
    return model


def observation(seed, batch=1):
    generator = torch.Generator().manual_seed(seed)
    return Conditions(
        torch.randn(batch, TINY.visual_tokens, TINY.feature_channels, generator=generator),
        torch.randn(batch, TINY.proprioception_width, generator=generator),
        torch.randn(batch, 12, 30, generator=generator),
        torch.ones(batch, 12, dtype=torch.bool),
        torch.randn(batch, TINY.text_width, generator=generator),
    )


@torch.inference_mode()
def program(model, memory, conditions):
    draw = Draw(torch.zeros(1, TINY.visual_tokens, TINY.feature_channels), torch.ones(1, 16, 30), torch.zeros(1, 4, 30))
    made = Sequential(Encoded(model, Plan(2, 2), memory, conditions, draw))
    while made.advance() is not None:
        pass
    return made


@torch.inference_mode()
def after(model, seeds):
    memory = model.initial_memory(1)
    for seed in seeds:
        memory = program(model, memory, observation(seed)).encoded.write()
    return memory


def test_bytes_grow_by_the_same_amount_with_every_observation(model):
    sizes = [after(model, range(count)).nbytes for count in (1, 2, 3)]
    assert sizes[0] > 0 and sizes[1] == 2 * sizes[0] and sizes[2] == 3 * sizes[0]


def test_chunk_depends_on_an_observation_long_past(model):
    with torch.inference_mode():
        chunks = [program(model, after(model, [first, 1, 2, 3]), observation(9)).rows for first in (0, 100)]
    assert (chunks[0] - chunks[1]).abs().max() > 1e-6


def test_window_forgets_what_left_it_and_stops_growing():
    torch.manual_seed(0)
    window = KvClwm(TINY, window=2).eval()
    for name in ("video_out", "action_out"):
        torch.nn.init.normal_(getattr(window, name).weight)
    # Keys of the second layer have seen the observations before: only what is four layers of window back is gone.
    memories = [after(window, [first, 1, 2, 3, 4, 5]) for first in (0, 100)]
    assert memories[0].nbytes == memories[1].nbytes == after(window, [1, 2]).nbytes
    assert memories[0].digest() == memories[1].digest()


def test_absorbing_a_prediction_leaves_the_history_as_it_was(model):
    history = after(model, [1, 2])
    digest = history.digest()
    made = program(model, history, observation(3))
    assert history.digest() == digest
    assert made.encoded.write().nbytes == after(model, [1, 2, 3]).nbytes


def test_batch_entries_keep_their_own_histories(model):
    with torch.inference_mode():
        both = model.initial_memory(2)
        pair = [observation(seed, 2) for seed in (1, 2)]
        for each in pair:
            both = model.write(both, model.encode_context(both, *vars(each).values()))
        single = model.initial_memory(1)
        for each in pair:
            part = Conditions(*(tensor[1:] for tensor in vars(each).values()))
            single = model.write(single, model.encode_context(single, *vars(part).values()))
    for (keys, values), (own_keys, own_values) in zip(both.layers, single.layers, strict=True):
        assert torch.allclose(keys[1:], own_keys, atol=1e-6) and torch.allclose(values[1:], own_values, atol=1e-6)


def test_blocks_are_those_of_the_model_without_its_memory(model):
    ours = {name for name, _ in model.named_parameters()}
    theirs = {name for name, _ in Clwm(TINY).named_parameters() if ".memory." not in name}
    assert ours == theirs


def test_empty_window_is_refused():
    with pytest.raises(ValueError, match="window of 0"):
        KvClwm(TINY, window=0)


@torch.inference_mode()
def test_a_preview_in_one_pass_is_that_of_two_passes(model):
    # With keys and values nothing is lost by fusing: the second pass sees what the first would have written.
    memory, conditions = after(model, [1, 2]), observation(3)
    given = conditions.features, conditions.proprioception, conditions.executed, conditions.executed_mask
    video, action, start = torch.randn_like(conditions.features), torch.randn(1, 16, 30), torch.zeros(1)
    context, residual = model.encode_with_preview(memory, *given, conditions.language, video)
    written = model.write(memory, context)
    torch.testing.assert_close(residual, model.video_clean(written, context, video, start))
    rows, _ = model.action_preview(written, context, residual, action, torch.zeros(1, 16))
    torch.testing.assert_close(
        rows, model.action_clean(*model.absorb(written, context, residual), action, torch.zeros(1, 16))
    )
