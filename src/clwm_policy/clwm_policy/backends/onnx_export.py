"""Export of the model's calls to ONNX graphs without weights."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from clwm_policy.backends.calls import CALLS, Call, Example, examples, tensor_names
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.graph_files import WEIGHTS, write_graphs
from clwm_policy.model.clwm import Clwm

_MODEL = "model."


class _Flat(nn.Module):
    """A call as a module of its own."""

    def __init__(self, model: Clwm, call: Call) -> None:
        super().__init__()
        self.model = model
        self._call = call

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._call(self.model, tensors))


class _WithWeights(nn.Module):
    """A call to which the weights are arguments: what is an argument cannot be folded into a constant."""

    def __init__(self, flat: _Flat, names: list[str]) -> None:
        super().__init__()
        self.flat = flat
        self._names = names

    def forward(self, weights: list[Tensor], tensors: list[Tensor]) -> tuple[Tensor, ...]:
        return functional_call(self.flat, dict(zip(self._names, weights, strict=True)), tuple(tensors))


def export(model: Clwm, folder: Path, on_call: Callable[[str, int, int], None] | None = None) -> None:
    """Write the graphs of every call of `model` into `folder`; minutes of work.

    on_call: told the name before each, how many are done and how many there are.
    Raises BackendError when a package that the export needs is absent.
    """
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise BackendError(f"exporting to ONNX needs '{package}', which is not installed; pip install {package}")
    graphs, weights = {}, {}
    for done, (name, example) in enumerate(examples(model).items()):
        if on_call is not None:
            on_call(name, done, len(CALLS))
        graphs[name], weights[name] = export_call(model, CALLS[name], example)
    write_graphs(folder, model.config, graphs, weights, {"torch": torch.__version__})


def export_call(model: Clwm, call: Call, example: Example) -> tuple[bytes, list[str]]:
    """The ONNX file of one call, and the names of the weights that it must be given."""
    parameters = {_MODEL + name: tensor.detach() for name, tensor in model.named_parameters()}
    module = _WithWeights(_Flat(model, call), list(parameters))
    given = tensor_names(call.takes, model.config.layers)
    # Unlike those of a graph's inputs, names of its results are free: what is written is not what was read.
    results = [f"new.{name}" for name in tensor_names(call.gives, model.config.layers)]
    # The exporter reports each operator of torchvision, which is absent on purpose, and deprecations of its own.
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = torch.onnx.export(
                module,
                # Tensors made in inference mode cannot be traced.
                ([*parameters.values()], [tensor.clone() for tensor in example.given]),
                input_names=[*parameters, *given],
                output_names=results,
                dynamo=True,
                external_data=False,
                verbose=False,
            ).model_proto
    finally:
        exporter_log.setLevel(level)
    return _without_weights(proto, parameters), [
        name.removeprefix(_MODEL) for name in parameters if any(name in node.input for node in proto.graph.node)
    ]


def _without_weights(proto: Any, parameters: dict[str, Tensor]) -> bytes:
    """The graph with its weights declared as data that is elsewhere, and nothing about the machine it was made on."""
    from onnx import TensorProto

    graph = proto.graph
    used = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name not in parameters]
    del graph.input[:]
    graph.input.extend(inputs)
    for name, tensor in parameters.items():
        if name not in used:
            continue
        weight = graph.initializer.add(
            name=name, dims=tensor.shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", WEIGHTS), ("offset", 0), ("length", tensor.numel() * 4)):
            weight.external_data.add(key=key, value=str(value))
    # The exporter notes stack traces with paths of the machine it runs on: they have no place in a shipped file.
    parts = (proto, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output)
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return proto.SerializeToString(deterministic=True)
