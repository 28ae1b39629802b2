"""ONNX Runtime: every call a session, on the CPU or through the TensorRT provider where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clwm_policy.backends.calls import CALLS
from clwm_policy.backends.errors import BackendError
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.backends.graph_files import graph_folder, read_graphs
from clwm_policy.model.clwm import Clwm

CPU = "CPUExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_SPIN = "session.intra_op.allow_spinning"


class Sessions:
    """Runs calls; one thread each unless asked otherwise, so that the same inputs give the same bits.

    Raises BackendError when ONNX Runtime or its provider is absent or a graph does not load.
    """

    def __init__(self, model: Clwm, folder: Path, provider: str = CPU, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(f"onnxruntime cannot be imported ({error}); pip install onnxruntime") from None
        self.version = onnxruntime.__version__
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise BackendError(
                f"this onnxruntime has no {provider} (it has {', '.join(available)}); install one built with it"
            )
        # Sessions refer to the weights, they do not copy them.
        self._weights = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(tensor.detach().numpy())
            for name, tensor in model.named_parameters()
        }
        providers = [provider] if provider == CPU else [provider, CPU]
        self._sessions: dict[str, tuple[Any, list[str]]] = {}
        for call, (graph, names) in read_graphs(folder, model.config, list(CALLS)).items():
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            # A spinning thread would take its core from the other processes of the stack.
            options.add_session_config_entry(_SPIN, "0")
            try:
                options.add_external_initializers(
                    [f"model.{name}" for name in names], [self._weights[name] for name in names]
                )
                session = onnxruntime.InferenceSession(graph, options, providers=providers)
            except Exception as error:  # onnxruntime raises several unrelated classes
                raise BackendError(f"{folder / call}.onnx cannot be loaded: {error}; run `clwm export`") from error
            self._sessions[call] = session, [given.name for given in session.get_inputs()]

    def __call__(self, name: str, tensors: list[Tensor]) -> list[Tensor]:
        """Run one call."""
        session, names = self._sessions[name]
        results = session.run(None, {key: tensor.numpy() for key, tensor in zip(names, tensors, strict=True)})
        return [torch.from_numpy(result) for result in results]


def open_onnxruntime(model: Clwm, checkpoint: Path) -> FlatModel:
    """On one CPU thread."""
    return _open(model, checkpoint, "onnxruntime", CPU, 1e-4)


def open_tensorrt(model: Clwm, checkpoint: Path) -> FlatModel:
    """Through ONNX Runtime's TensorRT provider; what that one cannot run, the CPU does."""
    return _open(model, checkpoint, "tensorrt", TENSORRT, 1e-2)


def _open(model: Clwm, checkpoint: Path, name: str, provider: str, tolerance: float) -> FlatModel:
    sessions = Sessions(model, graph_folder(checkpoint), provider)
    return FlatModel(model, sessions, f"{name} {sessions.version}, 1 thread(s)", tolerance)
