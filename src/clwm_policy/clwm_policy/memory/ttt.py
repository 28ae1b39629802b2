"""Dual-state test-time-training memory: the inner model, its one-step update and the state that is carried along.

The inner model is `f(x; W) = x + LN(MLP(x; W))`, two layers without biases, 4x expansion, GELU (paper). Both the
long-term state W_long and the working state W_work are `MemoryState`s of the same shape; which one a state is depends
on what was written to it. States are never changed in place, so a fork is free and cannot leak back.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EXPANSION = 4
LAYER_NORM_EPS = 1e-5
GRADIENT_NORM = 1.0  # clip of one inner step; without it the first step can be huge and stiffens the memory
LEARNING_RATE_MAX = 0.1
DECAY = 1e-3  # pull towards W0 per update: bounds the drift over thousands of observations (not given by the paper)

FastWeights = tuple[Tensor, Tensor]  # (batch, r, 4r) and (batch, 4r, r)


@dataclass(frozen=True)
class MemoryState:
    """Fast weights of every layer, batch first, and how many writes made them."""

    layers: tuple[FastWeights, ...]
    updates: int = 0

    def fork(self) -> MemoryState:
        """A state that starts equal; writing to either never shows in the other."""
        return MemoryState(self.layers, self.updates)

    def detach(self) -> MemoryState:
        """The same numbers without their history: where back-propagation through time is cut."""
        return MemoryState(tuple((w1.detach(), w2.detach()) for w1, w2 in self.layers), self.updates)

    def take(self, index: Tensor) -> MemoryState:
        """That of some batch entries."""
        return MemoryState(tuple((w1[index], w2[index]) for w1, w2 in self.layers), self.updates)

    def digest(self) -> str:
        """sha256 over every byte of the weights, in layer order."""
        digest = hashlib.sha256()
        for pair in self.layers:
            for weights in pair:
                digest.update(weights.detach().to("cpu", torch.float32).contiguous().numpy())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes held; independent of how much was written."""
        return sum(w.numel() * w.element_size() for pair in self.layers for w in pair)

    def reset_where(self, mask: Tensor, initial: MemoryState) -> MemoryState:
        """Take `initial` for the batch entries where `mask` (batch,) is True: a new episode began there."""
        where = mask[:, None, None]
        layers = tuple(
            (torch.where(where, new1, old1), torch.where(where, new2, old2))
            for (old1, old2), (new1, new2) in zip(self.layers, initial.layers, strict=True)
        )
        return MemoryState(layers, self.updates)


def inner_model(x: Tensor, weights: FastWeights) -> Tensor:
    """f(x; W) of x (batch, tokens, r)."""
    w1, w2 = weights
    hidden = functional.gelu(torch.bmm(x, w1))
    return x + functional.layer_norm(torch.bmm(hidden, w2), x.shape[-1:], eps=LAYER_NORM_EPS)


def inner_gradient(keys: Tensor, values: Tensor, weights: FastWeights) -> FastWeights:
    """Gradient by the weights of the inner loss `|| f(theta_K z; W) - theta_V z ||^2`, written out.

    The loss is a sum over channels and a mean over tokens; keys and values (batch, tokens, r). The aten backward
    kernels have derivatives themselves, so training can differentiate through the update; without a graph it is a third
    faster than autograd.
    """
    w1, w2 = weights
    rank = keys.shape[-1]
    hidden = torch.bmm(keys, w1)
    active = functional.gelu(hidden)
    output = torch.bmm(active, w2)
    normed, mean, rstd = torch.native_layer_norm(output, [rank], None, None, LAYER_NORM_EPS)
    error = (keys + normed - values) * (2.0 / keys.shape[1])
    d_output, _, _ = torch.ops.aten.native_layer_norm_backward(
        error, output, [rank], mean, rstd, None, None, [True, False, False]
    )
    d_hidden = torch.ops.aten.gelu_backward(torch.bmm(d_output, w2.transpose(1, 2)), hidden)
    return torch.bmm(keys.transpose(1, 2), d_hidden), torch.bmm(active.transpose(1, 2), d_output)


class TttLayer(nn.Module):
    """One block's memory: projections to and from the inner model, its initial weights W0 and its learned step size."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.theta_k = nn.Linear(width, rank, bias=False)
        self.theta_v = nn.Linear(width, rank, bias=False)
        self.theta_q = nn.Linear(width, rank, bias=False)
        # The reading lives in rank r and has to come back to the model's width (not given by the paper).
        self.theta_out = nn.Linear(rank, width, bias=False)
        self.alpha = nn.Parameter(torch.full((width,), 0.1))
        # Xavier scale: with small W0 the layer norm divides by a tiny deviation and the first step explodes.
        self.w1 = nn.Parameter(torch.randn(rank, EXPANSION * rank) / math.sqrt(rank))
        self.w2 = nn.Parameter(torch.randn(EXPANSION * rank, rank) / math.sqrt(EXPANSION * rank))
        self.step_size = nn.Parameter(torch.zeros(()))

    def initial(self, batch: int) -> FastWeights:
        """W0, once per batch entry."""
        return self.w1.expand(batch, -1, -1), self.w2.expand(batch, -1, -1)

    @property
    def learning_rate(self) -> Tensor:
        """Inner step size, learned between 0 and `LEARNING_RATE_MAX`; starts in the middle."""
        return LEARNING_RATE_MAX * torch.sigmoid(self.step_size)

    def read(self, z: Tensor, weights: FastWeights) -> Tensor:
        """tanh(alpha) * f(theta_Q z; W) for z (n * batch, tokens, width): entries that share a memory lie together."""
        batch = weights[0].shape[0]
        queries = functional.normalize(self.theta_q(z), dim=-1).reshape(batch, -1, self.rank)
        weights = weights[0].to(z.dtype), weights[1].to(z.dtype)
        reading = self.theta_out(inner_model(queries, weights)).reshape(z.shape)
        return torch.tanh(self.alpha) * reading

    def write(self, z: Tensor, weights: FastWeights) -> FastWeights:
        """One clipped gradient step on the tokens z (batch, tokens, width), and a small pull towards W0."""
        # In the precision of the weights: a step is small beside them, and in bfloat16 would often be lost.
        precise = weights[0].dtype
        keys = functional.normalize(self.theta_k(z).to(precise), dim=-1)
        values = functional.layer_norm(self.theta_v(z).to(precise), (self.rank,))
        g1, g2 = inner_gradient(keys, values, weights)
        norm = (g1.square().sum((1, 2), keepdim=True) + g2.square().sum((1, 2), keepdim=True)).sqrt()
        step = self.learning_rate * (GRADIENT_NORM / norm.clamp(min=GRADIENT_NORM))
        w1, w2 = weights
        return w1 - step * g1 - DECAY * (w1 - self.w1), w2 - step * g2 - DECAY * (w2 - self.w2)
