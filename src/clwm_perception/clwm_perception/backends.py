"""Two ways to run the same network on one thread: torch, and ONNX Runtime from a graph exported once and checked."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from clwm_perception.checkpoint import EncoderCheckpoint, EncoderError, patch_size_of

# Largest accepted difference of a pooled feature between torch and ONNX Runtime; features are of order 1.
PARITY = 1e-4
_HASH_KEY = "clwm.weights_sha256"
_log = logging.getLogger(__name__)


class Backend(Protocol):
    """Maps normalised pixels (n, 3, height, width) float32 to pooled features (n, rows, columns, channels) float32."""

    name: str

    def __call__(self, pixels: torch.Tensor) -> NDArray[np.float32]: ...


class PooledEncoder(torch.nn.Module):
    """The network as it is used: patch tokens, the last ones, as a grid, mean-pooled `pool` x `pool`."""

    def __init__(self, model: Any, pool: int) -> None:
        super().__init__()
        self.model = model
        self.pool = pool
        self.patch = patch_size_of(model.config.to_dict())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        rows, columns = (side // patch for side, patch in zip(pixels.shape[-2:], self.patch, strict=True))
        tokens = self.model(pixel_values=pixels).last_hidden_state[:, -rows * columns :]
        return pool_tokens(tokens, rows, columns, self.pool)


def pool_tokens(tokens: torch.Tensor, rows: int, columns: int, pool: int) -> torch.Tensor:
    """Mean-pool row-major patch tokens (n, rows * columns, channels) to (n, rows / pool, columns / pool, channels)."""
    n, _, channels = tokens.shape
    grid = tokens.reshape(n, rows // pool, pool, columns // pool, pool, channels)
    return grid.mean(dim=(2, 4))


class TorchBackend:
    """Eager torch. One thread per process is the caller's to set: it is a setting of the whole process."""

    name = "torch"

    def __init__(self, network: PooledEncoder) -> None:
        self._network = network

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        return self._network(pixels).numpy()


class OnnxBackend:
    """ONNX Runtime with one thread. The graph must carry the hash of the weights that it was made from."""

    name = "onnxruntime"

    def __init__(self, graph: Path, weights_hash: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises several unrelated classes for one corrupt file
            raise EncoderError(f"{graph} cannot be loaded: {error}; delete it, it will be exported again") from error
        made_from = self._session.get_modelmeta().custom_metadata_map.get(_HASH_KEY)
        if made_from != weights_hash:
            raise EncoderError(
                f"{graph} was exported from weights {made_from}, not {weights_hash}; delete it to export it anew"
            )
        self._input = self._session.get_inputs()[0]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self._input.shape)

    def __call__(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """Raises EncoderError unless the pictures are of the shape that the graph was exported for."""
        expected = self.input_shape
        if tuple(pixels.shape[1:]) != expected[1:]:
            raise EncoderError(f"pixels {tuple(pixels.shape)} do not fit the graph's {expected}; resize them")
        # One by one costs no more than together, and a set can be begun before its last picture is there.
        singles = pixels.numpy()[:, None]
        return np.concatenate([self._session.run(None, {self._input.name: single})[0] for single in singles])


def cache_directory() -> Path:
    """Where exported graphs are kept: $CLWM_CACHE, else $XDG_CACHE_HOME/clwm, else ~/.cache/clwm."""
    if configured := os.environ.get("CLWM_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "clwm"


def picture_shape(checkpoint: EncoderCheckpoint) -> tuple[int, ...]:
    """Input (1, 3, height, width) of an exported graph: one picture."""
    return (1, 3, *checkpoint.preprocessing.size)


def export_graph(network: PooledEncoder, shape: tuple[int, ...], graph: Path, weights_hash: str) -> None:
    """Write `network` as ONNX for inputs of exactly `shape` (n, 3, height, width), marked with its weights' hash.

    Raises EncoderError when a package needed for the export is absent or the folder cannot be written.
    """
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise EncoderError(f"exporting to ONNX needs '{package}', which is not installed; pip install {package}")
    import onnx

    # The exporter reports each operator of torchvision, which is absent on purpose, and deprecations of its own.
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network, (torch.zeros(shape),), dynamo=True, external_data=False, verbose=False, input_names=["pixels"]
            )
    finally:
        exporter_log.setLevel(level)
    model = program.model_proto
    # The exporter notes stack traces with paths of the machine it runs on: they have no place in a shipped file.
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
    onnx.helper.set_model_props(model, {_HASH_KEY: weights_hash})
    try:
        graph.parent.mkdir(parents=True, exist_ok=True)
        # Another process may export the same graph now: each renames a file of its own, so that none reads half of one.
        temporary = graph.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(graph)
    except OSError as error:
        raise EncoderError(f"{graph} cannot be written: {error}; set CLWM_CACHE to a folder that can") from error


def open_onnx(checkpoint: EncoderCheckpoint, network: PooledEncoder) -> OnnxBackend:
    """The folder's encoder.onnx if it fits the weights and one picture, else one from the cache, else a new export.

    Whichever is used is compared with torch on noise first. Raises EncoderError with the reason when none can be had.
    """
    shape = picture_shape(checkpoint)
    name = f"{checkpoint.weights_hash[:32]}_{'x'.join(map(str, shape))}_pool{network.pool}.onnx"
    for graph in (checkpoint.folder / "encoder.onnx", cache_directory() / name):
        if not graph.is_file():
            continue
        try:
            backend = OnnxBackend(graph, checkpoint.weights_hash)
            if backend.input_shape == shape:
                check_parity(backend, network, shape)
                return backend
        except EncoderError as error:
            _log.warning("not used: %s", error)
    graph = cache_directory() / name
    export_graph(network, shape, graph, checkpoint.weights_hash)
    backend = OnnxBackend(graph, checkpoint.weights_hash)
    check_parity(backend, network, shape)
    return backend


def check_parity(backend: Backend, network: PooledEncoder, shape: tuple[int, ...]) -> float:
    """Compare with torch on one batch of noise; returns the largest difference. Raises EncoderError above PARITY."""
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = TorchBackend(network)(pixels)
    got = backend(pixels)
    if got.shape != expected.shape:
        raise EncoderError(f"{backend.name} gives features {got.shape}, torch {expected.shape}; export the graph again")
    difference = float(np.abs(got - expected).max())
    if not difference <= PARITY:
        raise EncoderError(f"{backend.name} differs from torch by {difference:.2e} > {PARITY:.0e}; use backend 'torch'")
    return difference
