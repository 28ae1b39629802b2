"""Which backend runs a policy: the first of a list that can, and why those before it cannot."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clwm_policy.backends.calls import examples
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.model.checkpoint import Policy
from clwm_policy.model.clwm import Clwm

TORCH = "torch"
# Module and function of each; imported only when asked for, and given the model and the path of its checkpoint.
_OPENERS = {
    "onnxruntime": ("onnx_sessions", "open_onnxruntime"),
    "tensorrt": ("onnx_sessions", "open_tensorrt"),
    "cuda": ("segments", "open_cuda"),
}
KNOWN = (TORCH, *_OPENERS)


@dataclass(frozen=True)
class Choice:
    """policy: its model runs on the backend `name`. refused: those asked for first, each with its reason."""

    policy: Policy
    name: str = TORCH
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([f"the model runs on {self.name}", *self.refused])


def choose(names: Sequence[str], policy: Policy, checkpoint: Path) -> Choice:
    """Open the first backend of `names` that can run `policy`, and whose results are those of torch.

    Raises BackendError when a name is unknown or none can run.
    """
    if not names or (unknown := [name for name in names if name not in KNOWN]):
        what = f"backend '{unknown[0]}' is unknown" if names else "no backend is named"
        raise BackendError(f"{what}; expected a list of some of {', '.join(KNOWN)}, the preferred one first")
    refused: list[str] = []
    for name in names:
        if name == TORCH:
            return Choice(policy, TORCH, tuple(refused))
        try:
            model = open_backend(name, policy.model, checkpoint)
        except BackendError as error:
            refused.append(f"not {name}: {error}")
            continue
        return Choice(replace(policy, model=model), name, tuple(refused))
    raise BackendError(f"no backend can run the model: {'; '.join(refused)}; 'torch' runs everywhere: add it last")


def open_backend(name: str, model: Clwm, checkpoint: Path) -> FlatModel:
    """One backend other than torch, compared with it. Raises BackendError, saying why it cannot be used here."""
    module, function = _OPENERS[name]
    opener: Any = getattr(importlib.import_module(f"clwm_policy.backends.{module}"), function)
    opened = opener(model, checkpoint)
    check_parity(opened, model)
    return opened


def check_parity(opened: FlatModel, model: Clwm) -> float:
    """Compare every call with torch on noise; returns the largest difference, relative as `FlatModel` says.

    Raises BackendError above its tolerance, or when a result has another shape.
    """
    worst = 0.0
    for call, example in examples(model).items():
        for got, expected in zip(opened.run(call, example.given), example.expected, strict=True):
            if got.shape != expected.shape:
                raise BackendError(f"{call} gives {tuple(got.shape)}, torch {tuple(expected.shape)}; run `clwm export`")
            difference = (got.to("cpu", expected.dtype) - expected).abs().max() / expected.abs().max().clamp(min=1.0)
            worst = max(worst, float(difference))
            if not float(difference) <= opened.tolerance:
                raise BackendError(
                    f"{call} differs from torch by {float(difference):.1e}, accepted are {opened.tolerance:.0e}; "
                    "run `clwm export` if the model's code has changed"
                )
    return worst
