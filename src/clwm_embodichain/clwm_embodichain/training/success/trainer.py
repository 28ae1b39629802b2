"""Fits a success head: what is pursued is asked for, or the other goal, or something that no goal is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clwm_embodichain.training.success.courses import GOALS
from clwm_embodichain.training.success.data import Looks
from clwm_embodichain.training.success.rule import choose_threshold
from clwm_policy.model.success_head import Sizes, SuccessHead

Embed = Callable[[str], Tensor]
# Of the samples of a step: the goal that is pursued is asked for, the other one, or nothing that a goal is about.
ASKED = (0.6, 0.25, 0.15)


@dataclass(frozen=True)
class Settings:
    """noise: added to normalised features. false_share: of calibration courses that may be called done wrongly."""

    steps: int = 1000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    noise: float = 0.15
    dropout: float = 0.2
    chunks: int = 3
    false_share: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Sentences:
    """Embedded: of each goal (k, width), and of nothing that a goal is about (k, width)."""

    goals: tuple[Tensor, ...]
    others: Tensor

    @classmethod
    def embedded(cls, goals: Mapping[str, Sequence[str]], others: Sequence[str], embed: Embed) -> Sentences:
        """goals: sentences by name, of all GOALS."""

        def together(texts: Sequence[str]) -> Tensor:
            return torch.stack([torch.as_tensor(embed(text)) for text in texts])

        return cls(tuple(together(goals[name]) for name in GOALS), together(others))

    def drawn(self, looks_goal: Tensor, kinds: Tensor, generator: torch.Generator) -> Tensor:
        """One for each look: of its goal (kind 0), of the other goal (1), or of neither (2)."""
        draws = torch.randint(0, 1 << 30, looks_goal.shape, generator=generator)
        found = [
            group[draw % len(group)]
            for goal, kind, draw in zip(looks_goal.tolist(), kinds.tolist(), draws.tolist(), strict=True)
            for group in [self.others if kind == 2 else self.goals[goal if kind == 0 else 1 - goal]]
        ]
        return torch.stack(found)


def fit(looks: Looks, sentences: Sentences, settings: Settings) -> SuccessHead:
    """A head whose logits are not calibrated yet."""
    generator = torch.Generator().manual_seed(settings.seed)
    features = torch.from_numpy(looks.features).float()
    cameras, rows, columns, channels = features.shape[1:]
    torch.manual_seed(settings.seed)
    head = SuccessHead(
        Sizes(cameras=cameras, rows=rows, columns=columns, channels=channels, text_width=sentences.others.shape[1])
    )
    head.mean.copy_(features.mean(dim=(0, 1, 2, 3)))
    head.std.copy_(features.std(dim=(0, 1, 2, 3)).clamp(min=1e-3))
    goal, holds = torch.from_numpy(looks.goal), torch.from_numpy(looks.holds)
    optimiser = torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    shares = torch.tensor(ASKED)
    for _ in range(settings.steps):
        index = torch.randint(0, len(goal), (settings.batch,), generator=generator)
        kinds = torch.multinomial(shares, settings.batch, replacement=True, generator=generator)
        wanted = (holds[index] & (kinds == 0)).float()
        given = features[index]
        given = given + settings.noise * head.std * torch.randn(given.shape, generator=generator)
        language = sentences.drawn(goal[index], kinds, generator)
        loss = functional.binary_cross_entropy_with_logits(head(given, language, settings.dropout), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval().requires_grad_(False)


def calibrate(head: SuccessHead, looks: Looks, sentences: Sentences, settings: Settings) -> float:
    """Make the head's logits those of probabilities on these looks (Platt's two numbers); returns its threshold."""
    generator = torch.Generator().manual_seed(settings.seed)
    kinds = torch.multinomial(torch.tensor(ASKED), len(looks.goal), replacement=True, generator=generator)
    logits = logits_of(head, looks, sentences.drawn(torch.from_numpy(looks.goal), kinds, generator))
    wanted = (torch.from_numpy(looks.holds) & (kinds == 0)).double()
    calibration = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([calibration], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        scaled = calibration[0] * logits.double() + calibration[1]
        loss = functional.binary_cross_entropy_with_logits(scaled, wanted)
        loss.backward()
        return loss

    optimiser.step(closure)
    head.calibration.copy_(calibration.detach())
    return choose_threshold(
        probabilities(head, looks, sentences), looks.holds, looks.course, settings.chunks, settings.false_share
    )


def probabilities(head: SuccessHead, looks: Looks, sentences: Sentences, kind: int = 0) -> NDArray[np.float32]:
    """(n,) of the looks; each course is told one sentence: of its goal (0), of the other goal (1), of neither (2)."""
    generator = torch.Generator().manual_seed(1)
    numbers, of_course = np.unique(looks.course, return_inverse=True)
    first = [int(np.flatnonzero(looks.course == number)[0]) for number in numbers]
    told = sentences.drawn(torch.from_numpy(looks.goal[first]), torch.full((len(first),), kind), generator)
    return torch.sigmoid(logits_of(head, looks, told[torch.from_numpy(of_course)])).numpy()


@torch.inference_mode()
def logits_of(head: SuccessHead, looks: Looks, language: Tensor) -> Tensor:
    """(n,), in parts that fit into memory."""
    parts = range(0, len(looks.goal), 512)
    return torch.cat([head(torch.from_numpy(looks.features[at : at + 512]), language[at : at + 512]) for at in parts])
