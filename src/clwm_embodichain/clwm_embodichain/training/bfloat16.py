"""Large linear layers in bfloat16, where the processor multiplies in it; weights, gradients and the rest in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Below that many weights the conversions cost as much as the multiplication saves: a memory's projections, for one.
SMALLEST = 16_384


def is_fast_in_bfloat16() -> bool:
    """Whether the processor has instructions for it; one without emulates them, slowly."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def linears_in_bfloat16(wanted: bool) -> AbstractContextManager[Any]:
    """While it is entered, `functional.linear` of large weights computes in bfloat16 and answers in float32; nothing
    changes where `wanted` is False or the processor has no instructions for it.

    torch's autocast would do it to the memory's updates and to attention as well, which lose by it on a CPU.
    """
    return _Linears() if wanted and is_fast_in_bfloat16() else nullcontext()


class _Linears(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is functional.linear and args[1].numel() >= SMALLEST:
            return func(*(None if part is None else part.bfloat16() for part in args)).float()
        return func(*args, **(kwargs or {}))
