"""A model on a device in a lower precision, and models with random weights that never exist twice."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clwm_policy.model.blocks import flow_frequencies
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

# The memory's weights are changed by small steps and its state starts from them; flow times want fine angles.
_PRECISE = ("memory.w1", "memory.w2", "memory.step_size", "frequencies")


def place(model: Clwm, device: torch.device | str, dtype: torch.dtype) -> Clwm:
    """A copy in evaluation mode on `device`: `dtype`, but float32 for what is updated or measures flow time."""
    placed = _empty(model.config)
    sources = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    _fill(placed, lambda name, _: sources[name].detach().to(device, _precision(name, dtype), copy=True))
    return placed


def random_model(config: ClwmConfig, device: torch.device | str, dtype: torch.dtype, seed: int = 0) -> Clwm:
    """Random weights at the scale of an initialisation, made on `device` in their final precision, one by one.

    A model of billions of parameters would not fit beside its float32 copy.
    """
    model = _empty(config)
    # On "meta" a model has shapes only, and there is nothing to draw.
    generator = None if str(device) == "meta" else torch.Generator(device).manual_seed(seed)

    def value(name: str, empty: Tensor) -> Tensor:
        if name.endswith("frequencies"):
            return flow_frequencies(empty.shape[0]).to(device)
        made = torch.empty(empty.shape, device=device, dtype=_precision(name, dtype))
        if name.endswith(("norm.weight", "alpha")):
            return made.fill_(1.0 if name.endswith("norm.weight") else 0.1)
        if empty.dim() < 2:
            return made.zero_()
        inputs = empty.shape[0] if name.endswith(("memory.w1", "memory.w2")) else empty.shape[1]
        return made.normal_(std=1.0 / math.sqrt(inputs), generator=generator)

    _fill(model, value)
    return model


def _empty(config: ClwmConfig) -> Clwm:
    with torch.device("meta"):
        return Clwm(config).eval()


def _fill(model: Clwm, value) -> None:
    for prefix, module in model.named_modules():
        for name, empty in list(module.named_parameters(recurse=False)):
            full = f"{prefix}.{name}".removeprefix(".")
            setattr(module, name, nn.Parameter(value(full, empty), requires_grad=False))
        for name, empty in list(module.named_buffers(recurse=False)):
            setattr(module, name, value(f"{prefix}.{name}".removeprefix("."), empty))


def _precision(name: str, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if name.endswith(_PRECISE) else dtype
