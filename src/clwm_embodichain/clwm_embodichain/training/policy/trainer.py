"""Trains the policy: streams of observations, back-propagation through the memory's updates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from clwm_embodichain.training.finite_steps import FiniteSteps
from clwm_embodichain.training.muon import Muon
from clwm_embodichain.training.policy.losses import LossSettings, observation_losses
from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.streams import ObservationStreams
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm

_BALANCE_DECAY = 0.98
_MUON_WEIGHTS = ("qkv.weight", "attention_out.weight", "ffn_in.weight", "ffn_out.weight")


@dataclass(frozen=True)
class TrainingSettings:
    """minutes bounds the training time (all runs of a resumed training together), steps its length; the first one
    ends it.

    segment: observations between two optimiser steps, and as far as back-propagation reaches through the memory.
    video_share: the video loss's part of the gradient, the action loss having 1.
    """

    minutes: float = 70.0
    steps: int = 1_000_000
    streams: int = 8
    segment: int = 3
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    video_share: float = 0.3
    seed: int = 0
    muon: bool = True
    loss: LossSettings = field(default_factory=LossSettings)

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "streams", "segment", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"training setting {name} is {getattr(self, name)}; it must be positive")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class PolicyTrainer:
    """One training: `step()` until `progress` is 1. `ema` is the model to keep."""

    def __init__(
        self,
        model: Clwm,
        streams: ObservationStreams,
        coding: Coding,
        settings: TrainingSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.coding, self.settings = model, coding, settings
        self._streams, self._clock = streams, clock
        torch.manual_seed(settings.seed)
        self.ema = Clwm(model.config).eval()
        self.ema.load_state_dict(model.state_dict())
        self._optimisers = _optimisers(model, settings)
        self._memory: MemoryState | None = None
        self._foreseen: Tensor | None = None
        self._scale = {"video": 1.0, "action": 1.0}
        self._finite = FiniteSteps()
        self.steps_done = 0
        self.seconds = 0.0

    @property
    def skipped(self) -> int:
        """Steps of this run that were left out."""
        return self._finite.skipped

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the time or the number of steps is used up."""
        return min(1.0, max(self.steps_done / self.settings.steps, self.seconds / (60.0 * self.settings.minutes)))

    def step(self) -> dict[str, float] | None:
        """One optimiser step on `segment` observations of every stream; returns its losses.

        None when they or the gradient were not finite: nothing is changed then but all streams begin with a new
        memory. Raises TrainingDiverged when that happens ten times in a row.
        """
        began = self._clock()
        settings = self.settings
        totals = {"video": torch.zeros(()), "action": torch.zeros(())}
        for _ in range(settings.segment):
            for name, loss in self._observe().items():
                totals[name] = totals[name] + loss / settings.segment
        weighted = (
            totals["action"] / self._scale["action"] + settings.video_share * totals["video"] / self._scale["video"]
        )
        rate = self._learning_rate()
        self.model.zero_grad(set_to_none=True)
        weighted.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
        found = {name: float(loss.detach()) for name, loss in totals.items()} | {"gradient_norm": float(norm)}
        if not self._finite.may_take(found):
            self._memory = self._foreseen = None
            self.seconds += self._clock() - began
            return None
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        self._memory = self._memory.detach()
        self._follow()
        # Each stage keeps its share of the gradient while its loss falls by orders of magnitude.
        for name in totals:
            keep = min(_BALANCE_DECAY, self.steps_done / (self.steps_done + 1.0))
            self._scale[name] = keep * self._scale[name] + (1.0 - keep) * found[name]
        self.steps_done += 1
        self.seconds += self._clock() - began
        return found | {"rate": rate}

    def _observe(self) -> dict[str, Tensor]:
        shown = self._streams.next()
        initial = self.model.initial_memory(len(shown.fresh))
        self._memory = initial if self._memory is None else self._memory.reset_where(shown.fresh, initial)
        foreseen = self._foreseen
        if foreseen is not None:
            foreseen = torch.where(shown.fresh[:, None, None], torch.full((), math.nan), foreseen)
        result = observation_losses(
            self.model, self.coding.features, self._memory, shown.batch, shown.future, foreseen, self.settings.loss
        )
        self._memory, self._foreseen = result.memory, result.prediction
        return {"video": result.video, "action": result.action}

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.steps_done + 1) / self.settings.warmup_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.progress))
        return self.settings.learning_rate * warm * (0.02 + 0.98 * cosine)

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.settings.ema_decay, (1.0 + self.steps_done) / (10.0 + self.steps_done))
        ours, theirs = list(self.ema.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - decay)

    def state(self) -> dict[str, Any]:
        """Everything a continuation needs, as tensors and plain numbers (readable with `weights_only=True`)."""
        memory = None if self._memory is None else [[w1.detach(), w2.detach()] for w1, w2 in self._memory.layers]
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "torch_rng": torch.get_rng_state(),
            "streams": self._streams.state(),
            "memory": memory,
            "foreseen": self._foreseen,
            "scale": dict(self._scale),
            "steps_done": self.steps_done,
            "seconds": self.seconds,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; on the same data the next step is the one that would have followed."""
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        torch.set_rng_state(state["torch_rng"])
        if self._streams.resume(state["streams"]):
            memory = state["memory"]
            self._memory = None if memory is None else MemoryState(tuple((w1, w2) for w1, w2 in memory))
            self._foreseen = state["foreseen"]
        self._scale = dict(state["scale"])
        self.steps_done, self.seconds = int(state["steps_done"]), float(state["seconds"])


def _optimisers(model: Clwm, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon for the core's matrices, AdamW for projections, embeddings, norms and the memory's initial weights."""
    core, decayed, rest = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 and name.endswith(_MUON_WEIGHTS) and settings.muon:
            core.append(parameter)
        elif parameter.dim() == 2 and "position" not in name and ".memory.w" not in name:
            decayed.append(parameter)
        else:
            rest.append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))
    if not core:
        return [adam]
    return [Muon(core, lr=settings.learning_rate, weight_decay=settings.weight_decay), adam]
