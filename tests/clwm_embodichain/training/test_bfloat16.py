"""Large linear layers in bfloat16: what changes, what does not, and where."""

import pytest
import torch
from torch import nn

from clwm_embodichain.training import bfloat16
from clwm_embodichain.training.bfloat16 import linears_in_bfloat16


@pytest.fixture(autouse=True)
def _any_processor(monkeypatch):
    monkeypatch.setattr(bfloat16, "is_fast_in_bfloat16", lambda: True)


def gradients(layer: nn.Linear, x: torch.Tensor, wanted: bool) -> tuple[torch.Tensor, torch.Tensor]:
    layer.zero_grad()
    with linears_in_bfloat16(wanted):
        y = layer(x)
    y.square().sum().backward()
    return y.detach(), layer.weight.grad.clone()


def test_a_large_layer_answers_in_float32_within_the_precision_of_bfloat16():
    torch.manual_seed(0)
    layer, x = nn.Linear(192, 192), torch.randn(32, 192)
    (exact, exact_gradient), (fast, fast_gradient) = (gradients(layer, x, wanted) for wanted in (False, True))
    assert fast.dtype == fast_gradient.dtype == torch.float32
    for one, other in ((exact, fast), (exact_gradient, fast_gradient)):
        assert not torch.equal(one, other)  # it was taken another way
        assert (one - other).norm() < 0.01 * one.norm()


def test_a_small_layer_and_a_processor_without_it_change_nothing(monkeypatch):
    torch.manual_seed(0)
    small, large, x = nn.Linear(192, 32, bias=False), nn.Linear(192, 192), torch.randn(8, 192)
    assert torch.equal(gradients(small, x, False)[1], gradients(small, x, True)[1])
    monkeypatch.setattr(bfloat16, "is_fast_in_bfloat16", lambda: False)
    assert torch.equal(gradients(large, x, False)[0], gradients(large, x, True)[0])
