"""What every training has: settings, an optimiser step that may be left out, an average of the weights, a state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from clwm_common.files.config_files import Settings
from clwm_embodichain.training.data_parallel import DataParallel
from clwm_embodichain.training.finite_steps import FiniteSteps
from clwm_embodichain.training.policy.losses import LossSettings


class BudgetedSettings(Settings):
    """minutes bounds the training time (all runs of a resumed training together), steps its length; the first one
    ends it. streams: of observations, in a batch. Raises ValueError, naming the setting that makes no sense.
    """

    minutes: PositiveFloat
    steps: PositiveInt = 1_000_000
    streams: PositiveInt = 8
    learning_rate: PositiveFloat = 1.5e-3
    weight_decay: NonNegativeFloat
    warmup_steps: PositiveInt
    gradient_clip: PositiveFloat = 1.0
    seed: int = 0
    loss: LossSettings

    def progress(self, steps: int, seconds: float) -> float:
        """0 at the start, 1 when the time or the number of steps is used up."""
        return min(1.0, max(steps / self.steps, seconds / (60.0 * self.minutes)))


class Trainer(ABC):
    """One training of `model`: `step()` until `progress` is 1. seconds: of training, all runs together."""

    def __init__(
        self,
        model: nn.Module,
        optimisers: Sequence[torch.optim.Optimizer],
        gradient_clip: float,
        clock: Callable[[], float],
        average: AveragedModel | None = None,
        head: nn.Module | None = None,
    ) -> None:
        """head: trained along with the model, and not a part of it."""
        self.model, self._optimisers, self._average = model, list(optimisers), average
        self._clip, self._clock = gradient_clip, clock
        self._trained = nn.ModuleList([model, *([head] if head else [])])
        self._weights = [*self._trained.parameters()]
        self._parallel: DataParallel | None = None
        self._base_rates = [group["lr"] for group in self._groups()]
        self._finite = FiniteSteps()
        self.steps_done = 0
        self.seconds = 0.0

    @property
    @abstractmethod
    def progress(self) -> float:
        """0 at the start, 1 when the budget is used up."""

    @abstractmethod
    def losses(self) -> tuple[dict[str, Tensor], Tensor]:
        """Of the next batch: losses by name, and what is minimised."""

    @abstractmethod
    def rate(self, base: float) -> float:
        """The learning rate of the next step, from the optimisers' own."""

    def on_taken(self, found: dict[str, float]) -> dict[str, float]:
        """The weights have moved. found: losses and norm of the gradient. Returns what else there is to say."""
        return {}

    def on_left_out(self) -> None:  # noqa: B027 - most have nothing to do then
        """The step of `losses` was not taken."""

    @property
    def skipped(self) -> int:
        """Steps of this run that were left out."""
        return self._finite.skipped

    @property
    def ema(self) -> Any:
        """The average of the weights: the model to keep."""
        return self._average.module

    def distribute(self) -> None:
        """From here on a step is one of all processes of torch's default group, each with its share of the batch."""
        self._parallel = DataParallel(self._trained, self.losses)

    def step(self) -> dict[str, float] | None:
        """One optimiser step; returns its losses, the norm of the gradient and the learning rate.

        None when losses or gradient were not finite: nothing is changed then. Raises TrainingDiverged when that happens
        ten times in a row.
        """
        began = self._clock()
        losses, total = self._parallel.losses() if self._parallel else self.losses()
        rates = [self.rate(base) for base in self._base_rates]
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self._weights, self._clip)
        found = {name: float(loss.detach()) for name, loss in losses.items()} | {"gradient_norm": float(norm)}
        if self._parallel:
            found = self._parallel.means(found)
        is_taken = self._finite.may_take(found)
        if is_taken:
            for group, rate in zip(self._groups(), rates, strict=True):
                group["lr"] = rate
            for optimiser in self._optimisers:
                optimiser.step()
            if self._average is not None:
                self._average.update_parameters(self.model)
            found |= self.on_taken(found) | {"rate": rates[0]}
            self.steps_done += 1
        else:
            self.on_left_out()
        self.seconds += self._clock() - began
        return found if is_taken else None

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimiser in self._optimisers for group in optimiser.param_groups]

    def state(self) -> dict[str, Any]:
        """Everything a continuation needs, as tensors and plain numbers (readable with `weights_only=True`)."""
        average = {} if self._average is None else {"ema": self.ema.state_dict()}
        return average | {
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "torch_rng": torch.get_rng_state(),
            "steps_done": self.steps_done,
            "seconds": self.seconds,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; on the same data the next step is the one that would have followed."""
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        torch.set_rng_state(state["torch_rng"])
        self.steps_done, self.seconds = int(state["steps_done"]), float(state["seconds"])
        if self._average is not None:
            self.ema.load_state_dict(state["ema"])
            self._average.n_averaged.fill_(self.steps_done + 1)


def moving_average(model: nn.Module, decay: float, ramp: float) -> AveragedModel:
    """The exponential average of a model's weights, which begins at what they are now.

    The decay of step n, from 1 on, is n / (n + ramp), and `decay` at most: early steps are forgotten fast.
    """

    @torch.no_grad()
    def follow(average: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        torch._foreach_lerp_(average, current, 1.0 - min(decay, int(count) / (int(count) + ramp)))

    average = AveragedModel(model, multi_avg_fn=follow).eval()
    average.n_averaged.fill_(1)  # at 0 the first update would copy the weights over those that it begins with
    return average
