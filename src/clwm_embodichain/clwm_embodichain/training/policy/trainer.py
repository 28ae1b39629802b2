"""Trains the policy: streams of observations, back-propagation through the memory's updates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from clwm_embodichain.training.bfloat16 import linears_in_bfloat16
from clwm_embodichain.training.muon import Muon
from clwm_embodichain.training.policy.losses import LossSettings, observation_losses
from clwm_embodichain.training.policy.points import Points
from clwm_embodichain.training.policy.references import (
    ReferenceBuffer,
    RenderedReferences,
    reference_errors,
    reference_loss,
)
from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.straying import Straying
from clwm_embodichain.training.policy.streams import ObservationStreams
from clwm_embodichain.training.trainer import BudgetedSettings, Trainer, moving_average
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm

_BALANCE_DECAY = 0.98
_EMA_RAMP = 9.0
_LOSSES = ("video", "action", "keypose", "referent")
_LEAST_SCALE = 1e-3  # of a loss, that of keyposes being 0 as long as no gripper moves
_MUON_WEIGHTS = ("qkv.weight", "attention_out.weight", "ffn_in.weight", "ffn_out.weight")


class TrainingSettings(BudgetedSettings):
    """segment: observations between two optimiser steps, and as far as back-propagation reaches through the memory.
    video_share, keypose_share, referent_share: parts of the gradient that the video and the auxiliary losses have, the
    action loss having 1. references: asked for what a sentence means, drawn each step; remembered: observations to draw
    them from. bfloat16: in large linear layers, where the processor can.
    """

    minutes: PositiveFloat = 70.0
    weight_decay: NonNegativeFloat = 0.05
    warmup_steps: PositiveInt = 100
    segment: PositiveInt = 3
    ema_decay: float = Field(0.998, ge=0.0, lt=1.0)
    video_share: NonNegativeFloat = 0.3
    keypose_share: NonNegativeFloat = 0.7
    referent_share: NonNegativeFloat = 0.7
    references: PositiveInt = 48
    remembered: PositiveInt = 12_000
    muon: bool = True
    bfloat16: bool = True
    loss: LossSettings = LossSettings()


class PolicyTrainer(Trainer):
    """A step is `segment` observations of every stream; after one that is left out all begin with a new memory.

    Random numbers go on from those that made `model`.
    """

    def __init__(
        self,
        model: Clwm,
        streams: ObservationStreams,
        coding: Coding,
        settings: TrainingSettings,
        clock: Callable[[], float] = time.monotonic,
        goals: Sequence[str] = (),
        rendered: RenderedReferences | None = None,
        unseen: RenderedReferences | None = None,
    ) -> None:
        """goals: what the samples' `task` counts through; a step then says the action loss of each that it met.
        rendered: half of a step's references are drawn from them; unseen: others, to measure by.
        """
        average = moving_average(model, settings.ema_decay, _EMA_RAMP)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)  # alike in every process
            self._points = Points(model.config.width)
        optimisers = _optimisers(model, self._points, settings)
        super().__init__(model, optimisers, settings.gradient_clip, clock, average, self._points)
        self.coding, self.settings = coding, settings
        self._straying = Straying.of(coding)
        self._streams, self._goals = streams, tuple(goals)
        self._by_goal: dict[str, list[float]] = {}
        self._references, self._rendered = ReferenceBuffer(settings.remembered), rendered
        self._unseen = unseen
        self._memory: MemoryState | None = None
        self._foreseen: Tensor | None = None
        self._scale = dict.fromkeys(_LOSSES, 1.0)

    @property
    def progress(self) -> float:
        return self.settings.progress(self.steps_done, self.seconds)

    def losses(self) -> tuple[dict[str, Tensor], Tensor]:
        settings = self.settings
        totals = dict.fromkeys(_LOSSES, torch.zeros(()))
        self._by_goal = {}
        with linears_in_bfloat16(settings.bfloat16):
            for _ in range(settings.segment):
                for name, loss in self._observe().items():
                    totals[name] = totals[name] + loss / settings.segment
            totals["referent"] = self._reference_loss()
        shares = {"action": 1.0} | {name: getattr(settings, f"{name}_share") for name in _LOSSES if name != "action"}
        return totals, torch.stack(
            [shares[name] * totals[name] / max(self._scale[name], _LEAST_SCALE) for name in _LOSSES]
        ).sum()

    def on_taken(self, found: dict[str, float]) -> dict[str, float]:
        self._memory = self._memory.detach()
        # Each loss keeps its share of the gradient while its loss falls by orders of magnitude.
        keep = min(_BALANCE_DECAY, self.steps_done / (self.steps_done + 1.0))
        self._scale = {name: keep * scale + (1.0 - keep) * found[name] for name, scale in self._scale.items()}
        return {name: sum(losses) / len(losses) for name, losses in self._by_goal.items()}

    def on_left_out(self) -> None:
        self._memory = self._foreseen = None

    def reference_errors(self) -> dict[str, float]:
        """Those of `references.reference_errors` in unseen states; none without any."""
        return {} if self._unseen is None else reference_errors(self._points.referent, self.model, self._unseen)

    def _reference_loss(self) -> Tensor:
        sources = [self._references] if self._rendered is None else [self._references, self._rendered]
        drawn = [source.draw(self.settings.references // len(sources)) for source in sources]
        losses = [reference_loss(self._points.referent, self.model, some) for some in drawn if some is not None]
        return torch.stack(losses).mean() if losses else torch.zeros(())

    def _observe(self) -> dict[str, Tensor]:
        shown = self._streams.next()
        initial = self.model.initial_memory(len(shown.fresh))
        self._memory = initial if self._memory is None else self._memory.reset_where(shown.fresh, initial)
        foreseen = self._foreseen
        if foreseen is not None:
            foreseen = torch.where(shown.fresh[:, None, None], torch.full((), math.nan), foreseen)
        result = observation_losses(
            self.model,
            self.coding.features,
            self._memory,
            shown.batch,
            shown.future,
            foreseen,
            self.settings.loss,
            self._straying,
            self._points.keypose,
        )
        self._references.add(shown.batch)
        self._memory, self._foreseen = result.memory, result.prediction
        if self._goals:
            tasks = shown.batch.task.tolist()
            for name, losses in (("action", result.by_stream), ("keypose", result.keypose.detach())):
                for goal, loss in zip(tasks, losses.tolist(), strict=True):
                    self._by_goal.setdefault(f"{name}/{self._goals[goal]}", []).append(loss)
        return {"video": result.video, "action": result.action, "keypose": result.keypose.mean()}

    def rate(self, base: float) -> float:
        warm = min(1.0, (self.steps_done + 1) / self.settings.warmup_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.progress))
        return base * warm * (0.02 + 0.98 * cosine)

    def state(self) -> dict[str, Any]:
        memory = None if self._memory is None else [[w1.detach(), w2.detach()] for w1, w2 in self._memory.layers]
        return super().state() | {
            "streams": self._streams.state(),
            "memory": memory,
            "foreseen": self._foreseen,
            "scale": dict(self._scale),
            "points": self._points.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        super().resume(state)
        if self._streams.resume(state["streams"]):
            memory = state["memory"]
            self._memory = None if memory is None else MemoryState(tuple((w1, w2) for w1, w2 in memory))
            self._foreseen = state["foreseen"]
        self._scale = dict(state["scale"])
        self._points.load_state_dict(state["points"])


def _optimisers(model: Clwm, head: Points, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon for the core's matrices, AdamW for projections, embeddings, norms, initial memory and `head`."""
    core, decayed, rest = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 and name.endswith(_MUON_WEIGHTS) and settings.muon:
            core.append(parameter)
        elif parameter.dim() == 2 and "position" not in name and ".memory.w" not in name:
            decayed.append(parameter)
        else:
            rest.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": [*rest, *head.parameters()], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))
    if not core:
        return [adam]
    return [Muon(core, lr=settings.learning_rate, weight_decay=settings.weight_decay), adam]
