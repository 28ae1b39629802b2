"""W_long as a file: safetensors, whose metadata says what it belongs to and what its weights hash to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from clwm_common.files.signed_documents import document_hash
from clwm_policy.errors import BadSnapshot
from clwm_policy.memory.ttt import MemoryState

FORMAT = "clwm-memory/1"
# What the file must share with the engine that takes it in, by the names of `Engine.facts`.
OWNERS = {"policy_sha256": "policy", "encoder_sha256": "encoder", "layout_version": "action layout"}


def save_memory(path: Path, state: MemoryState, observations: int, facts: Mapping[str, str]) -> str:
    """Write the state by an atomic rename and return its digest.

    observations: real ones that it has taken in. facts: `Engine.facts`. Raises OSError.
    """
    content = {
        "format": FORMAT,
        **{name: facts[name] for name in OWNERS},
        "observations": str(observations),
        "updates": str(state.updates),
        "digest": state.digest(),
    }
    tensors = {
        f"layer{index}.w{number}": weights.detach().to("cpu").contiguous()
        for index, pair in enumerate(state.layers)
        for number, weights in enumerate(pair, start=1)
    }
    data = save_tensors(tensors, {**content, "document_sha256": document_hash(content)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return content["digest"]


def load_memory(path: Path, like: MemoryState, facts: Mapping[str, str]) -> tuple[MemoryState, int]:
    """The state and how many real observations it has taken in.

    like: a state of the engine in use, for the shapes. facts: its `Engine.facts`. Raises BadSnapshot for a file that is
    missing, truncated or damaged, and for one of other weights, another encoder or layout, naming both.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadSnapshot(f"{path} cannot be read ({error.strerror}); save a memory there first") from None
    try:
        tensors = load_tensors(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError) as error:
        raise BadSnapshot(f"{path} is truncated, damaged or not safetensors ({error}); save it again") from None
    if metadata.get("format") != FORMAT:
        raise BadSnapshot(f"{path} is not a memory (format is not '{FORMAT}'); give a file of a saved memory")
    if metadata.get("document_sha256") != document_hash(metadata):
        raise BadSnapshot(f"{path} is damaged: its metadata is not what was written; save it again")
    for name, what in OWNERS.items():
        if metadata[name] != facts[name]:
            raise BadSnapshot(
                f"{path} is a memory of {what} {metadata[name][:12]}, in use is {facts[name][:12]}; "
                "a memory is of use only to the model that wrote it"
            )
    state = MemoryState(_layers(path, tensors, like), int(metadata["updates"]))
    if (found := state.digest()) != metadata["digest"]:
        raise BadSnapshot(
            f"{path} is damaged: its weights hash to {found[:12]}, it says {metadata['digest'][:12]}; save it again"
        )
    return state, int(metadata["observations"])


def _metadata(data: bytes) -> dict[str, Any]:
    """Of a file that safetensors has read: 8 bytes of length, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def _layers(path: Path, tensors: Mapping[str, torch.Tensor], like: MemoryState) -> tuple:
    expected = {
        f"layer{index}.w{number}": weights
        for index, pair in enumerate(like.layers)
        for number, weights in enumerate(pair, start=1)
    }
    found, wanted = ({name: (tuple(t.shape), t.dtype) for name, t in group.items()} for group in (tensors, expected))
    if found != wanted:
        name = min(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        raise BadSnapshot(f"{path}: '{name}' is {found.get(name)}; expected {wanted.get(name)}: save it again")
    on = {name: tensor.to(expected[name].device) for name, tensor in tensors.items()}
    return tuple((on[f"layer{index}.w1"], on[f"layer{index}.w2"]) for index in range(len(like.layers)))
