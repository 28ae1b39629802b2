"""One optimiser step made together by several processes, each on its share of the batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

Losses = Callable[[], tuple[dict[str, Tensor], Tensor]]  # by name, and what is minimised


class DataParallel:
    """Between the processes of torch's default group. All begin with the weights of the first."""

    def __init__(self, trained: nn.Module, losses: Losses) -> None:
        """losses: of this process's share, by parameters of `trained` all of which take part."""
        self._forward = DistributedDataParallel(_Forward(trained, losses))

    def losses(self) -> tuple[dict[str, Tensor], Tensor]:
        """Of this process's share; what is minimised gives every process the mean of all gradients."""
        return self._forward()

    def means(self, found: dict[str, float]) -> dict[str, float]:
        """Over the processes, the same in all of them."""
        values = torch.tensor(list(found.values()), dtype=torch.float64)
        distributed.all_reduce(values)
        return dict(zip(found, (values / distributed.get_world_size()).tolist(), strict=True))


class _Forward(nn.Module):
    """The losses as a forward pass, which is where DistributedDataParallel prepares the backward pass."""

    def __init__(self, trained: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.trained, self._losses = trained, losses

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        return self._losses()
