"""How little features care about looks: the loss of self-distillation, and the figure that is judged."""

from __future__ import annotations

import torch
from torch import Tensor


def distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """What the student says of a state in one look against what the teacher, its average, says in another look.

    student, teacher: (states, ...), the teacher's without gradient. Squared distance over the teacher's variance
    between states, centred over them: shrinking all features gains nothing. 2 is as far as two states are apart.
    """
    spread = (teacher - teacher.mean(dim=0)).square().mean() * len(teacher) / (len(teacher) - 1)
    return (student - teacher).square().mean() / spread.clamp(min=1e-6)


def relative_distance(one: Tensor, other: Tensor) -> float:
    """Mean distance of features (states, ...) in two looks, over that of two different states in different looks."""
    one, other = one.flatten(1), other.flatten(1)
    same = (one - other).norm(dim=1).mean()
    apart = torch.cdist(one[None], other[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
    different = ~torch.eye(len(one), dtype=torch.bool)
    return float(same / apart[different].mean())


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the covariance's spectrum (n, channels): how many directions are in use."""
    variances = torch.linalg.eigvalsh(torch.cov(features.double().T)).clamp(min=0.0)
    shares = variances / variances.sum()
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))
