"""Muon in float32: momentum whose matrix updates are made orthogonal, so that no direction of a matrix starves.

torch.optim.Muon computes in bfloat16, which a CPU without such instructions emulates thirty times slower.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic Newton-Schulz iteration of Keller Jordan's Muon
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """For two-dimensional weights only. `lr` is comparable to AdamW's: an update has root mean square 0.2 * lr."""

    def __init__(self, weights: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        if wrong := [tuple(weight.shape) for weight in weights if weight.ndim != 2]:
            raise ValueError(f"Muon takes matrices, got a weight of shape {wrong[0]}; give it to AdamW")
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for weights in by_shape.values():
                looked_ahead = []
                for weight in weights:
                    state = self.state[weight]
                    average = state.setdefault("average", torch.zeros_like(weight))
                    average.lerp_(weight.grad, 1.0 - group["momentum"])
                    looked_ahead.append(weight.grad.lerp(average, group["momentum"]))
                updates = orthogonalise(torch.stack(looked_ahead))
                size = 0.2 * max(updates.shape[-2:]) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"] * size)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring all singular values of matrices (n, a, b) near 1, keeping their singular vectors."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
