"""The model's calls as functions of tensors alone: what is exported to ONNX, captured in CUDA graphs and compiled.

A call takes and gives *groups*: one tensor, one per layer, or a pair per layer. Flattened, a group is a run of tensors
with names such as `memory.3.1`; that order and those names are the interface of every backend. A new call of the model
is one more row of `CALLS` and one more method of `FlatModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.sizes import EXECUTED_ROWS

PAIRS = ("memory", "past", "joined")  # per layer: fast weights (W1, W2), or keys and values
LAYERS = ("absorbed",)  # per layer: the tokens that a write takes in
RESULTS = ("velocity", "residual", "rows")  # what the integration goes on with; other groups only go back into calls

Groups = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """takes, gives: names of groups. run: model and the groups taken, in order, to the groups given, in order."""

    takes: tuple[str, ...]
    gives: tuple[str, ...]
    run: Callable[..., tuple[Any, ...]]

    def __call__(self, model: Clwm, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The call, flat in and flat out."""
        taken = unflatten(self.takes, tensors, model.config.layers)
        given = self.run(model, *taken.values())
        return flatten(self.gives, dict(zip(self.gives, given, strict=True)))


def flatten(names: Sequence[str], groups: Mapping[str, Any]) -> list[Tensor]:
    """The tensors of the named groups, in order."""
    flat: list[Tensor] = []
    for name in names:
        group = groups[name]
        if name in PAIRS:
            flat.extend(tensor for pair in group for tensor in pair)
        elif name in LAYERS:
            flat.extend(group)
        else:
            flat.append(group)
    return flat


def unflatten(names: Sequence[str], tensors: Sequence[Tensor], layers: int) -> Groups:
    """The inverse of `flatten`. Raises ValueError when the number of tensors does not fit."""
    expected = len(tensor_names(names, layers))
    if len(tensors) != expected:
        raise ValueError(f"{len(tensors)} tensors for {tuple(names)} in {layers} layers; expected {expected}")
    groups: Groups = {}
    rest = iter(tensors)
    for name in names:
        if name in PAIRS:
            groups[name] = tuple((next(rest), next(rest)) for _ in range(layers))
        elif name in LAYERS:
            groups[name] = tuple(next(rest) for _ in range(layers))
        else:
            groups[name] = next(rest)
    return groups


def tensor_names(names: Sequence[str], layers: int) -> list[str]:
    """One name per tensor of the flattened groups."""
    flat = []
    for name in names:
        if name in PAIRS:
            flat += [f"{name}.{layer}.{part}" for layer in range(layers) for part in range(2)]
        elif name in LAYERS:
            flat += [f"{name}.{layer}" for layer in range(layers)]
        else:
            flat.append(name)
    return flat


def _encode_context(model: Clwm, memory: Any, *observation: Tensor) -> tuple[Any, ...]:
    context = model.encode_context(MemoryState(memory), *observation)
    return context.past, context.absorbed, context.patches


def _encode_with_preview(model: Clwm, memory: Any, *observation_and_noise: Tensor) -> tuple[Any, ...]:
    context, residual = model.encode_with_preview(MemoryState(memory), *observation_and_noise)
    return context.past, context.absorbed, context.patches, residual


def _write(model: Clwm, memory: Any, absorbed: Any) -> tuple[Any, ...]:
    return (model.write(MemoryState(memory), Context((), absorbed, torch.empty(0))).layers,)


def _video_velocity(model: Clwm, memory: Any, past: Any, patches: Tensor, x: Tensor, s: Tensor) -> tuple[Any, ...]:
    return (model.video_velocity(MemoryState(memory), Context(past, (), patches), x, s),)


def _absorb(model: Clwm, memory: Any, past: Any, patches: Tensor, prediction: Tensor) -> tuple[Any, ...]:
    working, context = model.absorb(MemoryState(memory), Context(past, (), patches), prediction)
    return working.layers, context.past


def _action_preview(
    model: Clwm, memory: Any, past: Any, patches: Tensor, prediction: Tensor, x: Tensor, s: Tensor
) -> tuple[Any, ...]:
    rows, context = model.action_preview(MemoryState(memory), Context(past, (), patches), prediction, x, s)
    return rows, context.past


def _action_velocity(model: Clwm, memory: Any, joined: Any, x: Tensor, s: Tensor) -> tuple[Any, ...]:
    return (model.action_velocity(MemoryState(memory), Context(joined, (), torch.empty(0)), x, s),)


OBSERVATION = ("features", "proprioception", "executed", "executed_mask", "language")
CALLS: dict[str, Call] = {
    "encode_context": Call(("memory", *OBSERVATION), ("past", "absorbed", "patches"), _encode_context),
    "encode_with_preview": Call(
        ("memory", *OBSERVATION, "video"), ("past", "absorbed", "patches", "residual"), _encode_with_preview
    ),
    "write": Call(("memory", "absorbed"), ("memory",), _write),
    "video_velocity": Call(("memory", "past", "patches", "video", "video_time"), ("velocity",), _video_velocity),
    "absorb": Call(("memory", "past", "patches", "prediction"), ("memory", "joined"), _absorb),
    "action_preview": Call(
        ("memory", "past", "patches", "prediction", "action", "row_times"), ("rows", "joined"), _action_preview
    ),
    "action_velocity": Call(("memory", "joined", "action", "row_times"), ("velocity",), _action_velocity),
}


@dataclass(frozen=True)
class Example:
    """Arguments of one call and what torch makes of them, flat."""

    given: list[Tensor]
    expected: list[Tensor]


@torch.inference_mode()
def examples(model: Clwm, seed: int = 0) -> dict[str, Example]:
    """Every call on noise, one after the other as in a chunk, on the model's device.

    Shapes to export and capture with, and values to compare with.
    """
    groups = _noise(model, seed)
    found = {}
    for name, call in CALLS.items():
        given = [tensor.contiguous() for tensor in flatten(call.takes, groups)]
        expected = call(model, given)
        groups |= unflatten(call.gives, expected, model.config.layers)
        found[name] = Example(given, expected)
    return found


def _noise(model: Clwm, seed: int) -> Groups:
    config, weight = model.config, model.visual_in.weight
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "features": (config.visual_tokens, config.feature_channels),
        "proprioception": (config.proprioception_width,),
        "executed": (EXECUTED_ROWS, config.action_dim),
        "language": (config.language_width,),
        "video": (config.visual_tokens, config.feature_channels),
        "prediction": (config.visual_tokens, config.feature_channels),
        "action": (config.chunk_rows, config.action_dim),
    }
    groups: Groups = {
        name: torch.randn(1, *shape, generator=generator).to(weight.device) for name, shape in shapes.items()
    }
    times = torch.rand(1, config.chunk_rows, generator=generator)
    times[:, :4] = 1.0  # a committed prefix
    mask = torch.ones(1, EXECUTED_ROWS, dtype=torch.bool)
    return groups | {
        "memory": model.initial_memory(1).detach().layers,
        "executed_mask": mask.to(weight.device),
        "video_time": torch.rand(1, generator=generator).to(weight.device),
        "row_times": times.to(weight.device),
    }
