"""Exported graphs on disk: one small ONNX file per call, without weights, and a manifest that says whose they are.

The weights come from the policy's checkpoint when a session is opened, so the graphs of an architecture serve every
training of it, and cannot be mixed with the weights of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import PositiveInt, ValidationError

from clwm_common.files.config_files import Strict, explain
from clwm_common.files.signed_documents import document_hash, read_signed
from clwm_policy.backends.errors import BackendError
from clwm_policy.model.sizes import SAID_LATER, ClwmConfig

FORMAT = "clwm-graphs/1"
MANIFEST = "graphs.json"
WEIGHTS = "weights"  # stands where ONNX wants the name of a file with the weights


class _Graph(Strict):
    sha256: str
    weights: list[str]


class _Manifest(Strict):
    format: str
    config: dict[str, PositiveInt]
    calls: dict[str, _Graph]
    facts: dict[str, Any]
    document_sha256: str


def graph_folder(checkpoint: Path) -> Path:
    """Where the graphs of a checkpoint are: beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}_graphs")


def write_graphs(
    folder: Path, config: ClwmConfig, graphs: Mapping[str, bytes], weights: Mapping[str, list[str]], facts: Mapping
) -> None:
    """Write all files, the manifest last. weights: per call the names of the model's parameters in its graph."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in graphs.items():
        (folder / f"{name}.onnx").write_bytes(content)
    document: dict[str, Any] = {
        "format": FORMAT,
        "config": asdict(config),
        "calls": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "weights": weights[name]}
            for name, content in graphs.items()
        },
        "facts": dict(facts),
    }
    document["document_sha256"] = document_hash(document)
    (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n")


def read_graphs(folder: Path, config: ClwmConfig, calls: list[str]) -> dict[str, tuple[bytes, list[str]]]:
    """Per call its graph and the names of its weights. Raises BackendError for one that is absent or changed."""
    document = _manifest(folder / MANIFEST)
    ours, theirs = asdict(config), SAID_LATER | document["config"]
    if theirs != ours:
        other = sorted(name for name in ours if theirs.get(name) != ours[name])
        raise BackendError(
            f"the graphs in {folder} are of another architecture (they differ in {', '.join(other)}); {_remedy()}"
        )
    found = {}
    for name in calls:
        path = folder / f"{name}.onnx"
        entry = document["calls"].get(name)
        if entry is None or not path.is_file():
            raise BackendError(f"{path} is absent; {_remedy()}")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise BackendError(f"{path} is truncated, damaged or of another export; {_remedy()}")
        found[name] = content, entry["weights"]
    return found


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BackendError(f"no exported graphs: {path} cannot be read; {_remedy()}")
    document = read_signed(
        path,
        FORMAT,
        BackendError,
        absent=_remedy(),
        foreign=f"of the format '{FORMAT}'; {_remedy()}",
        remedy=_remedy(),
    )
    try:
        _Manifest.model_validate(document)
    except ValidationError as error:
        raise BackendError(f"{explain(path, error, _Manifest)}; {_remedy()}") from None
    return document


def _remedy() -> str:
    return "run `clwm export`"
