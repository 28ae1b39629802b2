"""The test-time-training memory: its gradient, its bounds, and that a fork cannot leak back."""

import pytest
import torch

from clwm_policy.memory.ttt import TttLayer, inner_gradient, inner_model
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

TINY = ClwmConfig(width=24, layers=2, heads=2, ffn_width=48, memory_rank=8, feature_channels=6, text_width=10)


def inner_loss(keys, values, weights):
    """(batch,) as the paper writes it, for autograd to differentiate."""
    return (inner_model(keys, weights) - values).square().sum(-1).mean(-1)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return TttLayer(width=24, rank=8).double()


def _observation(model, batch=1):
    config = model.config
    return (
        torch.randn(batch, config.visual_tokens, config.feature_channels),
        torch.randn(batch, config.proprioception_width),
        torch.randn(batch, 12, 30),
        torch.ones(batch, 12, dtype=torch.bool),
        torch.randn(batch, config.text_width),
    )


@pytest.mark.parametrize("seed", range(5))
def test_written_out_gradient_is_autograds_in_float64(seed):
    generator = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(3, 11, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    w1 = torch.randn(3, 8, 32, generator=generator, dtype=torch.float64, requires_grad=True)
    w2 = torch.randn(3, 32, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(inner_loss(keys, values, (w1, w2)).sum(), (w1, w2))
    found = inner_gradient(keys, values, (w1, w2))
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-10


def test_training_can_differentiate_through_a_write(layer):
    z = torch.randn(1, 5, 24, dtype=torch.float64)
    target = torch.randn(1, 5, 24, dtype=torch.float64)

    def after_write(theta_k):
        parameters = {**dict(layer.named_parameters()), "theta_k.weight": theta_k}
        return torch.func.functional_call(
            _WriteThenRead(layer), {f"layer.{k}": v for k, v in parameters.items()}, (z, target)
        )

    weight = layer.theta_k.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(after_write, (weight,), atol=1e-6)


class _WriteThenRead(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, z, target):
        return (self.layer.read(z, self.layer.write(z, self.layer.initial(1))) - target).square().mean()


def test_a_write_lowers_the_inner_loss_on_what_was_written(layer):
    z = torch.randn(2, 16, 24, dtype=torch.float64)
    keys = torch.nn.functional.normalize(layer.theta_k(z), dim=-1)
    values = torch.nn.functional.layer_norm(layer.theta_v(z), (8,))
    weights = layer.initial(2)
    before = inner_loss(keys, values, weights)
    for _ in range(10):
        weights = layer.write(z, weights)
    assert (inner_loss(keys, values, weights) < before).all()


def test_memory_neither_grows_nor_diverges_over_two_thousand_writes():
    torch.manual_seed(0)
    model = Clwm(TINY).eval()
    memory = model.initial_memory(1)
    size, start = memory.nbytes, memory.layers[0][0].norm()
    with torch.no_grad():
        context = model.encode_context(memory, *_observation(model))
        for _ in range(2000):
            memory = model.write(memory, context)
    assert memory.nbytes == size
    assert memory.updates == 2000
    assert torch.isfinite(memory.layers[0][0]).all()
    # A step of 0.05 against a decay of 1e-3 cannot carry the weights further than 50 from W0.
    assert memory.layers[0][0].norm() < start + 50.0


def test_what_a_fork_absorbs_never_shows_in_the_long_term_memory():
    torch.manual_seed(0)
    model = Clwm(TINY).eval()
    with torch.no_grad():
        w_long = model.initial_memory(1)
        context = model.encode_context(w_long, *_observation(model))
        w_long = model.write(w_long, context)
        digest = w_long.digest()
        working, _ = model.absorb(w_long.fork(), context, torch.randn(1, TINY.visual_tokens, TINY.feature_channels))
    assert w_long.digest() == digest
    assert working.digest() != digest


def test_digest_tells_a_single_changed_number():
    model = Clwm(TINY)
    memory = model.initial_memory(1)
    before = memory.digest()
    assert memory.fork().digest() == before
    changed = [[w.detach().clone() for w in pair] for pair in memory.layers]
    changed[1][1][0, 0, 0] += 1e-6
    assert type(memory)(tuple(map(tuple, changed))).digest() != before


def test_a_fresh_stream_is_reset_and_the_others_keep_their_memory():
    torch.manual_seed(0)
    model = Clwm(TINY).eval()
    with torch.no_grad():
        initial = model.initial_memory(2)
        written = model.write(initial, model.encode_context(initial, *_observation(model, 2)))
        mixed = written.reset_where(torch.tensor([True, False]), initial)
    assert torch.equal(mixed.layers[0][0][0], initial.layers[0][0][0])
    assert torch.equal(mixed.layers[0][0][1], written.layers[0][0][1])
