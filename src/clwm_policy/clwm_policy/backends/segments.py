"""Calls on a device as segments with fixed input memory, which is what a CUDA graph can replay.

A segment copies in only what is not there already: memory and context stay the same from one denoising step to the
next, and at full size the context is hundreds of megabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from clwm_policy.backends.calls import CALLS, RESULTS, examples, flatten, unflatten
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.backends.placement import place
from clwm_policy.model.clwm import Clwm

Work = Callable[[], list[Tensor]]
Capture = Callable[[Work], Work]

WARM_UPS = 3  # before a capture: libraries allocate and choose kernels in the first runs
_LARGE = 768  # width from which on bfloat16 is faster; below, a step is bound by launches
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


class Segment:
    """One call. work: flat tensors to flat tensors. capture: makes the work on the fixed inputs repeatable.

    Tensors given must not be changed in place later; those returned are the segment's own until the next call.
    """

    def __init__(self, work: Callable[[list[Tensor]], list[Tensor]], given: list[Tensor], capture: Capture) -> None:
        self._fixed = [tensor.clone() for tensor in given]
        self._bound: list[Tensor | None] = [None] * len(given)
        self.replay = capture(lambda: work(self._fixed))

    def __call__(self, tensors: list[Tensor]) -> list[Tensor]:
        for index, tensor in enumerate(tensors):
            # Holding on to the tensor keeps its identity from being given to another one.
            if self._bound[index] is not tensor:
                self._fixed[index].copy_(tensor)
                self._bound[index] = tensor
        return self.replay()


class Segments:
    """Runs calls of a model that is on a device; results come back to the CPU in float32, the rest stays there."""

    def __init__(self, model: Clwm, capture: Capture) -> None:
        self._layers = model.config.layers
        self.of = {
            name: Segment(lambda tensors, call=CALLS[name]: call(model, tensors), example.given, capture)
            for name, example in examples(model).items()
        }

    def __call__(self, name: str, tensors: list[Tensor]) -> list[Tensor]:
        gives = CALLS[name].gives
        groups = unflatten(gives, self.of[name](tensors), self._layers)
        kept = {
            group: value.to("cpu", torch.float32, copy=True) if group in RESULTS else _clone(value)
            for group, value in groups.items()
        }
        return flatten(gives, kept)


def as_it_is(work: Work) -> Work:
    """No capture: the same segments on any device."""
    return work


def cuda_graph(work: Work) -> Work:
    """Capture on the current CUDA device; a replay launches everything at once and fills the same results."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode():
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            results = work()

    def replay() -> list[Tensor]:
        graph.replay()
        return results

    return replay


def open_cuda(model: Clwm, checkpoint: Path) -> FlatModel:
    """On the first CUDA device, a graph per call. Raises BackendError where there is none."""
    if not torch.cuda.is_available():
        raise BackendError(f"no CUDA device: {why_no_cuda()}")
    dtype = torch.bfloat16 if model.config.width >= _LARGE else torch.float32
    device = f"cuda {torch.__version__}, {torch.cuda.get_device_name()}, {dtype}"
    return FlatModel(model, Segments(place(model, "cuda", dtype), cuda_graph), device, _TOLERANCE[dtype])


def why_no_cuda() -> str:
    """What is missing."""
    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) is built without CUDA; install one built with it"
    return "the driver shows no device; check nvidia-smi"


def _clone(group):
    if isinstance(group, Tensor):
        return group.clone()
    return tuple(_clone(part) for part in group)
