"""The least time that a call can take on a device: what it computes and what it moves, at the device's own peaks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from clwm_policy.backends.calls import CALLS, examples
from clwm_policy.backends.placement import random_model
from clwm_policy.model.sizes import ClwmConfig


@dataclass(frozen=True)
class Cost:
    """Of one call: operations of its matrix products, bytes of weights and arguments read and of results written."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class Peaks:
    """Measured on the device: operations per second of a large matrix product, bytes per second of a large copy."""

    flops: float
    bandwidth: float

    def floor(self, cost: Cost) -> float:
        """S that a call of this cost takes at least."""
        return max(cost.flops / self.flops, cost.bytes / self.bandwidth)


def costs(config: ClwmConfig, dtype: torch.dtype) -> dict[str, Cost]:
    """Of every call, from shapes alone: nothing is computed, no weight exists."""
    found = {}
    model = random_model(config, "meta", dtype)
    for name, example in examples(model).items():
        read = _ReadWeights(model)
        with FlopCounterMode(display=False) as counter, read:
            CALLS[name](model, example.given)
        moved = [*read.weights(), *example.given, *example.expected]
        found[name] = Cost(counter.get_total_flops(), sum(tensor.numel() * tensor.element_size() for tensor in moved))
    return found


def measured_peaks(device: torch.device, dtype: torch.dtype) -> Peaks:
    """Of the device as it is now, by torch's own kernels."""
    large = device.type == "cuda"
    side, count = (8192, 2**29) if large else (512, 2**23)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.zeros(count, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    product = timed(lambda: a @ b, device, 20)
    copy = timed(lambda: target.copy_(source), device, 20)
    return Peaks(2 * side**3 / product, 2 * source.nbytes / copy)


def timed(work: Callable[[], Any], device: torch.device, repeats: int, warm_ups: int = 3) -> float:
    """Median seconds of `work`; on CUDA the time between events on the device."""
    for _ in range(warm_ups):
        work()
    if device.type != "cuda":
        return float(np.median([_stopped(work) for _ in range(repeats)]))
    events = [tuple(torch.cuda.Event(enable_timing=True) for _ in range(2)) for _ in range(repeats)]
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize(device)
    return float(np.median([1e-3 * start.elapsed_time(end) for start, end in events]))


def _stopped(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class _ReadWeights(TorchDispatchMode):
    """Notes which parameters of a model are read."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self._parameters = {id(parameter): parameter for parameter in model.parameters()}
        self._read: set[int] = set()

    def weights(self) -> list[Tensor]:
        return [self._parameters[key] for key in self._read]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._read |= {id(leaf) for leaf in tree_leaves((args, kwargs))} & self._parameters.keys()
        return func(*args, **(kwargs or {}))
