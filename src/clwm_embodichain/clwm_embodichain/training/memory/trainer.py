"""Trains a policy to remember: back-propagation through every memory update from the cue to the choice.

Delays follow a curriculum: the longest one grows while the side is recalled at the present ones. A read-out of the side
from the tokens of waiting observations is trained along and thrown away afterwards: it tells every update, not only the
choice, whether it kept the cue.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clwm_embodichain.training.finite_steps import FiniteSteps
from clwm_embodichain.training.memory.data import CHOOSING
from clwm_embodichain.training.memory.samples import SideStreams, delays_drawn
from clwm_embodichain.training.policy.losses import LossSettings, observation_losses
from clwm_embodichain.training.policy.samples import Coding, Samples
from clwm_policy.model.clwm import Clwm
from clwm_sim.tasks.remember_side import DELAYS

_RECALL_DECAY = 0.85


def _losses() -> LossSettings:
    # No noise on the past: a stream is a single bit that was seen once or twice.
    return LossSettings(history_augmentation=0.0, surrogate=0.0, forgotten=0.0)


@dataclass(frozen=True)
class MemoryTrainingSettings:
    """minutes bounds the training time of all runs together, steps its length; the first one ends it.

    recalled: recall of the side at which the longest delay grows, by `growth`. recall_share, video_share: of the
    losses of read-out and video beside the action's.
    """

    minutes: float = 25.0
    steps: int = 1_000_000
    streams: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_steps: int = 50
    gradient_clip: float = 1.0
    recalled: float = 0.95
    growth: float = 1.4
    recall_share: float = 0.5
    video_share: float = 0.1
    choice_weight: float = 2.0
    seed: int = 0
    loss: LossSettings = field(default_factory=_losses)

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"training setting {name} is {getattr(self, name)}; it must be positive")
        if self.streams < 2 or self.streams % 2:
            raise ValueError(f"training setting streams is {self.streams}; expected an even number, for both sides")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class MemoryTrainer:
    """One training of `model`, which may be any with the interface of Clwm: `step()` until `progress` is 1."""

    def __init__(
        self,
        model: Clwm,
        samples: Samples,
        coding: Coding,
        settings: MemoryTrainingSettings,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.model, self.coding, self.settings = model, coding, settings
        self._samples, self._clock = samples, clock
        torch.manual_seed(settings.seed)
        self.read_out = nn.Linear(model.config.width, 1)
        self._parameters = [*model.parameters(), *self.read_out.parameters()]
        matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and _decays(name)]
        rest = [p for name, p in model.named_parameters() if not (p.dim() == 2 and _decays(name))]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": [*rest, *self.read_out.parameters()], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
        )
        self._streams = SideStreams(samples, settings.seed)
        self._finite = FiniteSteps()
        self.longest = float(DELAYS[0])
        self.recall = 0.5
        self.steps_done = 0
        self.seconds = 0.0

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the time or the number of steps is used up."""
        return min(1.0, max(self.steps_done / self.settings.steps, self.seconds / (60.0 * self.settings.minutes)))

    def step(self) -> dict[str, float] | None:
        """One optimiser step on a batch of streams of one delay; returns its losses.

        None when they or the gradient were not finite: nothing is changed then. Raises TrainingDiverged when that
        happens ten times in a row.
        """
        began, settings = self._clock(), self.settings
        delay = delays_drawn(int(self.longest), DELAYS[0], self._streams.generator)
        losses, recalled = self._run(self._streams.draw(settings.streams, delay), delay)
        total = losses["action"] + settings.video_share * losses["video"] + settings.recall_share * losses["recall"]
        rate = self._learning_rate()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, settings.gradient_clip)
        found = {name: float(loss.detach()) for name, loss in losses.items()} | {"gradient_norm": float(norm)}
        if not self._finite.may_take(found):
            self.seconds += self._clock() - began
            return None
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self.recall = _RECALL_DECAY * self.recall + (1.0 - _RECALL_DECAY) * recalled
        if self.recall > settings.recalled and self.longest < DELAYS[1]:
            self.longest = min(float(DELAYS[1]), max(self.longest + 1.0, self.longest * settings.growth))
            self.recall = 0.5 + 0.8 * (self.recall - 0.5)  # the new delays have to show it first
        self.steps_done += 1
        self.seconds += self._clock() - began
        return found | {"delay": delay, "recalled": recalled, "rate": rate}

    def _run(self, steps: list[Tensor], delay: int) -> tuple[dict[str, Tensor], float]:
        """Losses of a batch of streams, and the share of sides read out right in the last waiting observation."""
        settings, draw = self.settings, self._streams.generator
        choice = len(steps) - CHOOSING
        last = choice + int(draw.integers(1, CHOOSING))
        shown = {int(draw.integers(0, choice - 1)): 1.0, choice: settings.choice_weight, last: 1.0}
        asked = self._samples.task[steps[0]].float()
        memory = self.model.initial_memory(len(asked))
        totals = {"action": torch.zeros(()), "video": torch.zeros(())}
        read: list[Tensor] = []
        for index, samples in enumerate(steps[: last + 1]):
            batch = self._samples.take(samples)
            if index in shown:
                following = steps[min(index + 1, len(steps) - 1)]
                future = self._samples.features[following].float()
                result = observation_losses(
                    self.model, self.coding.features, memory, batch, future, None, settings.loss
                )
                share = shown[index] / sum(shown.values())
                totals["action"] = totals["action"] + share * result.action
                totals["video"] = totals["video"] + share * result.video
                memory = result.memory
                continue
            context = self.model.encode_context(
                memory,
                batch.features.float(),
                batch.proprioception,
                batch.executed,
                batch.executed_mask,
                batch.language,
            )
            memory = self.model.write(memory, context)
            if choice - delay <= index < choice:
                read.append(self.read_out(context.absorbed[-1].mean(1)).squeeze(-1))
        logits = torch.stack(read)
        totals["recall"] = functional.binary_cross_entropy_with_logits(logits, asked.expand_as(logits))
        return totals, float(((logits[-1] > 0) == (asked > 0.5)).float().mean())

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.steps_done + 1) / self.settings.warmup_steps)
        # Full until half of the time: the curriculum has to get through; then down for the last millimetres.
        late = max(0.0, 2.0 * self.progress - 1.0)
        return self.settings.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * late)))

    def state(self) -> dict[str, Any]:
        """Everything a continuation needs, as tensors and plain numbers (readable with `weights_only=True`)."""
        return {
            "model": self.model.state_dict(),
            "read_out": self.read_out.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "torch_rng": torch.get_rng_state(),
            # PCG64's state are 128-bit integers; as text they pass through any reader.
            "streams": json.dumps(self._streams.generator.bit_generator.state),
            "longest": self.longest,
            "recall": self.recall,
            "steps_done": self.steps_done,
            "seconds": self.seconds,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; on the same data the next step is the one that would have followed."""
        self.model.load_state_dict(state["model"])
        self.read_out.load_state_dict(state["read_out"])
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["torch_rng"])
        self._streams.generator.bit_generator.state = json.loads(state["streams"])
        self.longest, self.recall = float(state["longest"]), float(state["recall"])
        self.steps_done, self.seconds = int(state["steps_done"]), float(state["seconds"])


def _decays(name: str) -> bool:
    return "position" not in name and ".memory.w" not in name
