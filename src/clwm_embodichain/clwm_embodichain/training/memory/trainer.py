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
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from clwm_embodichain.training.memory.data import CHOOSING
from clwm_embodichain.training.memory.samples import SideStreams, delays_drawn
from clwm_embodichain.training.policy.losses import LossSettings, observation_losses
from clwm_embodichain.training.policy.samples import Coding, Samples
from clwm_embodichain.training.trainer import BudgetedSettings, Trainer
from clwm_policy.model.clwm import Clwm
from clwm_sim.shipped_tasks.remember_side import DELAYS

_RECALL_DECAY = 0.85


class MemoryTrainingSettings(BudgetedSettings):
    """minutes: of processor time. streams: an even number, for both sides.

    recalled: recall of the side at which the longest delay grows, by `growth`. recall_share, video_share: of the
    losses of read-out and video beside the action's.
    """

    minutes: PositiveFloat = 20.0
    streams: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    weight_decay: NonNegativeFloat = 0.02
    warmup_steps: PositiveInt = 50
    recalled: NonNegativeFloat = 0.95
    growth: float = Field(1.4, ge=1.0)
    recall_share: NonNegativeFloat = 0.5
    video_share: NonNegativeFloat = 0.1
    choice_weight: NonNegativeFloat = 2.0
    # No noise on the past: a stream is a single bit that was seen once or twice.
    loss: LossSettings = LossSettings(history_augmentation=0.0, surrogate=0.0, forgotten=0.0)


class MemoryTrainer(Trainer):
    """`model` may be any with the interface of Clwm. A step is a batch of streams of one delay."""

    def __init__(
        self,
        model: Clwm,
        samples: Samples,
        coding: Coding,
        settings: MemoryTrainingSettings,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.read_out = nn.Linear(model.config.width, 1)
        matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and _decays(name)]
        rest = [p for name, p in model.named_parameters() if not (p.dim() == 2 and _decays(name))]
        optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": [*rest, *self.read_out.parameters()], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
        )
        super().__init__(model, [optimiser], settings.gradient_clip, clock, head=self.read_out)
        self.coding, self.settings, self._samples = coding, settings, samples
        self._streams = SideStreams(samples, settings.seed)
        self._delay, self._recalled = DELAYS[0], 0.0
        self.longest = float(DELAYS[0])
        self.recall = 0.5

    @property
    def progress(self) -> float:
        return self.settings.progress(self.steps_done, self.seconds)

    def losses(self) -> tuple[dict[str, Tensor], Tensor]:
        settings = self.settings
        self._delay = delays_drawn(int(self.longest), DELAYS[0], self._streams.generator)
        found, self._recalled = self._run(self._streams.draw(settings.streams, self._delay), self._delay)
        total = found["action"] + settings.video_share * found["video"] + settings.recall_share * found["recall"]
        return found, total

    def on_taken(self, found: dict[str, float]) -> dict[str, float]:
        settings = self.settings
        self.recall = _RECALL_DECAY * self.recall + (1.0 - _RECALL_DECAY) * self._recalled
        if self.recall > settings.recalled and self.longest < DELAYS[1]:
            self.longest = min(float(DELAYS[1]), max(self.longest + 1.0, self.longest * settings.growth))
            self.recall = 0.5 + 0.8 * (self.recall - 0.5)  # the new delays have to show it first
        return {"delay": self._delay, "recalled": self._recalled}

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

    def rate(self, base: float) -> float:
        warm = min(1.0, (self.steps_done + 1) / self.settings.warmup_steps)
        # Full until half of the time: the curriculum has to get through; then down for the last millimetres.
        late = max(0.0, 2.0 * self.progress - 1.0)
        return base * warm * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * late)))

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "read_out": self.read_out.state_dict(),
            # PCG64's state are 128-bit integers; as text they pass through any reader.
            "streams": json.dumps(self._streams.generator.bit_generator.state),
            "longest": self.longest,
            "recall": self.recall,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """States of earlier releases have one `optimiser`."""
        super().resume({"optimisers": [state.get("optimiser")]} | state)
        self.read_out.load_state_dict(state["read_out"])
        self._streams.generator.bit_generator.state = json.loads(state["streams"])
        self.longest, self.recall = float(state["longest"]), float(state["recall"])


def _decays(name: str) -> bool:
    return "position" not in name and ".memory.w" not in name
