"""The transformer core that both stages share: attention over a cached context, memory reading, feed-forward."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from clwm_policy.memory.ttt import FastWeights, TttLayer


class Block(nn.Module):
    """Pre-norm block: tokens attend to a cached past and to themselves, read the memory, pass the feed-forward."""

    def __init__(self, width: int, heads: int, ffn_width: int, memory_rank: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.memory_norm = nn.LayerNorm(width)
        self.memory = TttLayer(width, memory_rank)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, ffn_width)
        self.ffn_out = nn.Linear(ffn_width, width)

    def forward(
        self,
        x: Tensor,
        weights: FastWeights,
        past: tuple[Tensor, Tensor] | None = None,
        lead: int | None = None,
        is_last: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Run x (n * batch, tokens, width) against a past of batch entries, each shared by n entries of x.

        lead: the first so many tokens do not see those after them, so that two calls become one; None: all see all.
        is_last: no block follows; what the leading tokens become is then of use to nobody, and left out of x.
        Returns x, its own keys and values (n * batch, heads, tokens, head width), and the tokens z
        (n * batch, tokens, width) that the memory layer saw: what a write absorbs.
        """
        count, tokens, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(count, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        all_k, all_v = k, v
        if past is not None:
            repeats = count // past[0].shape[0]
            all_k = torch.cat([_share(past[0], repeats), k], dim=2)
            all_v = torch.cat([_share(past[1], repeats), v], dim=2)
        attended = _attend(q, all_k, all_v, tokens if lead is None else lead)
        x = x + self.attention_out(attended.transpose(1, 2).reshape(count, tokens, width))
        z = self.memory_norm(x)
        begin = (lead or 0) if is_last else 0
        x = x[:, begin:] + self.memory.read(z[:, begin:], weights)
        x = x + self.ffn_out(functional.gelu(self.ffn_in(self.ffn_norm(x))))
        return x, (k, v), z


def _attend(q: Tensor, k: Tensor, v: Tensor, lead: int) -> Tensor:
    followers = q.shape[2] - lead
    if not followers:
        return functional.scaled_dot_product_attention(q, k, v)
    # Without a mask, which the fast kernels of a CPU do not take.
    seen = k.shape[2] - followers
    first = functional.scaled_dot_product_attention(q[:, :, :lead], k[:, :, :seen], v[:, :, :seen])
    return torch.cat([first, functional.scaled_dot_product_attention(q[:, :, lead:], k, v)], dim=2)


def _share(past: Tensor, repeats: int) -> Tensor:
    if repeats == 1:
        return past
    return past[:, None].expand(-1, repeats, -1, -1, -1).flatten(0, 1)


class FlowTimeEmbedding(nn.Module):
    """A stage's own embedding of flow time s in [0, 1] into the model's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.register_buffer("frequencies", flow_frequencies(half), persistent=False)
        self.hidden = nn.Linear(2 * half, width)
        self.out = nn.Linear(width, width)

    def forward(self, s: Tensor) -> Tensor:
        """(..., width) of flow times (...)."""
        angles = s.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return self.out(functional.silu(self.hidden(waves.to(self.hidden.weight.dtype))))


def flow_frequencies(count: int) -> Tensor:
    """(count,) angular frequencies from 1 to 100 per unit of flow time."""
    return torch.exp(torch.linspace(0.0, math.log(100.0), count))
