"""A policy on disk: weights in `<name>.safetensors`, everything else that inference needs in `<name>.json` beside it.

Nothing is unpickled. The JSON names the sha256 of the weights and of itself, so that a file that was cut short,
changed or mixed with another's is refused by name and not by a strange motion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from clwm_common.actions import LAYOUT_VERSION, LayoutError
from clwm_policy.action_codec import ActionCodec
from clwm_policy.config import ClwmConfig
from clwm_policy.feature_scale import FeatureScale
from clwm_policy.model import Clwm
from clwm_policy.state_predictor import StatePredictor

FORMAT = "clwm-policy/1"


class CheckpointError(RuntimeError):
    """A checkpoint that must not be used; the message names the file, what is wrong and the remedy."""


@dataclass(frozen=True)
class Policy:
    """A model with all that belongs to it. facts: how it was trained. policy_hash: sha256 of the weights."""

    model: Clwm
    codec: ActionCodec
    features: FeatureScale
    state_predictor: StatePredictor
    encoder_hash: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    policy_hash: str = ""

    def randomised(self, seed: int) -> Policy:
        """The same architecture with untrained weights: the control that must fail at the task.

        The output projections, which start at zero in training, are random too, so that the control does move.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Clwm(self.model.config)
            for out in (model.video_out, model.action_out):
                torch.nn.init.normal_(out.weight, std=out.in_features**-0.5)
        return Policy(
            model.eval(), self.codec, self.features, self.state_predictor, self.encoder_hash, {}, f"random-{seed}"
        )


def save_policy(path: str | Path, policy: Policy, dtype: torch.dtype = torch.float16) -> str:
    """Write `path` (.safetensors) and the .json beside it, each by an atomic rename; return the policy's hash."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = policy.model.state_dict()
    weights = save_tensors({name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()})
    document: dict[str, Any] = {
        "format": FORMAT,
        "layout_version": LAYOUT_VERSION,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "encoder_sha256": policy.encoder_hash,
        "config": policy.model.config.to_json(),
        "normaliser": policy.codec.to_json(),
        "features": policy.features.to_json(),
        "state_predictor": policy.state_predictor.to_json(),
        "facts": dict(policy.facts),
    }
    document["document_sha256"] = document_hash(document)
    _replace(path, weights)
    _replace(path.with_suffix(".json"), json.dumps(document, indent=1).encode())
    return document["weights_sha256"]


def load_policy(path: str | Path, encoder_hash: str | None = None, architecture: type[Clwm] = Clwm) -> Policy:
    """Read and check a policy; the model comes back in float32, in eval mode.

    encoder_hash: of the encoder in use; None skips that check. architecture: Clwm, or a baseline of its interface.
    Raises CheckpointError.
    """
    path = Path(path)
    document = _read_document(path.with_suffix(".json"))
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); train a policy or restore the file") from None
    found = hashlib.sha256(weights).hexdigest()
    if found != document["weights_sha256"]:
        raise CheckpointError(
            f"{path} has sha256 {found[:12]}..., its JSON says {document['weights_sha256'][:12]}...: "
            "the file is truncated, damaged or from another training; restore both files together"
        )
    if encoder_hash is not None and encoder_hash != document["encoder_sha256"]:
        raise CheckpointError(
            f"{path} was trained on encoder {document['encoder_sha256'][:12]}..., the encoder in use is "
            f"{encoder_hash[:12]}...; use the encoder shipped beside the policy"
        )
    try:
        model = architecture(ClwmConfig.from_json(document["config"]))
        codec = ActionCodec.from_json(document["normaliser"])
        features = FeatureScale.from_json(document["features"])
        predictor = StatePredictor.from_json(document["state_predictor"])
    except (KeyError, TypeError, ValueError, LayoutError) as error:
        raise CheckpointError(f"{path.with_suffix('.json')}: {error}; export the policy again") from error
    _fill(model, weights, path)
    return Policy(model.eval(), codec, features, predictor, document["encoder_sha256"], document["facts"], found)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); it belongs beside the weights") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}); restore it with its weights") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a CLWM policy (format is not '{FORMAT}'); give the policy's own path")
    if document.get("layout_version") != LAYOUT_VERSION:
        raise CheckpointError(
            f"{path} speaks action layout version {document.get('layout_version')}, this code {LAYOUT_VERSION}; "
            "train the policy again with this release"
        )
    if document.get("document_sha256") != document_hash(document):
        raise CheckpointError(f"{path} was changed after it was written; restore it with its weights")
    return document


def _fill(model: Clwm, weights: bytes, path: Path) -> None:
    try:
        tensors = load_tensors(weights)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}); restore it") from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{path}: tensor '{name}' has shape {found.get(name)}, the configuration asks for "
                f"{expected.get(name)}; the weights and the JSON are of different models"
            )
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def document_hash(document: Mapping[str, Any]) -> str:
    """sha256 hex of a JSON document's content, which it carries itself as `document_sha256`."""
    content = {name: value for name, value in document.items() if name != "document_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
