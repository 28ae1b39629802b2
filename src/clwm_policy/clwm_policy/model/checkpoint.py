"""A policy on disk: weights in `<name>.safetensors`, everything else that inference needs in `<name>.json` beside it.

Nothing is unpickled. The JSON names the sha256 of the weights and of itself, so that a file that was cut short,
changed or mixed with another's is refused by name and not by a strange motion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BeforeValidator, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from clwm_common.actions import LAYOUT_VERSION
from clwm_common.files.config_files import Strict, explain
from clwm_common.files.policy_document import FORMAT, CheckpointError, PolicyInputs, check_weights
from clwm_common.files.signed_documents import document_hash
from clwm_policy.model.action_codec import ActionCodec
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.feature_scale import FeatureScale, check_statistics
from clwm_policy.model.sizes import SAID_LATER, ClwmConfig
from clwm_policy.model.state_predictor import StatePredictor


@dataclass(frozen=True)
class Policy:
    """A model with all that belongs to it.

    inputs: what it was trained with. facts: how it was trained, for people. policy_hash: sha256 of the weights.
    """

    model: Clwm
    codec: ActionCodec
    features: FeatureScale
    state_predictor: StatePredictor
    encoder_hash: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    policy_hash: str = ""
    inputs: PolicyInputs = field(kw_only=True)

    def randomised(self, seed: int) -> Policy:
        """The same architecture with untrained weights: the control that must fail at the task.

        The output projections, which start at zero in training, are random too, so that the control does move.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Clwm(self.model.config)
            for out in (model.video_out, model.action_out):
                torch.nn.init.normal_(out.weight, std=out.in_features**-0.5)
        return replace(self, model=model.eval(), facts={}, policy_hash=f"random-{seed}")


class Scales(Strict):
    """How physical rows and encoder features become model numbers, as a document holds it."""

    normaliser: ActionCodec
    features: Annotated[FeatureScale, AfterValidator(check_statistics)]
    state_predictor: StatePredictor

    @classmethod
    def of(cls, holder: Any) -> Scales:
        """Those of a policy, or of whatever else has its `codec`, `features` and `state_predictor`."""
        return cls(normaliser=holder.codec, features=holder.features, state_predictor=holder.state_predictor)


def _say_all(sizes: Any) -> Any:
    """A checkpoint must say every size: a default of today need not be what it was made with."""
    if isinstance(sizes, dict):
        sizes = SAID_LATER | sizes
    if missing := [field.name for field in fields(ClwmConfig) if field.name not in sizes]:
        raise ValueError(f"lacks {', '.join(missing)}")
    return sizes


class _Sections(Scales):
    config: Annotated[ClwmConfig, BeforeValidator(_say_all)]


def save_policy(path: str | Path, policy: Policy, dtype: torch.dtype = torch.float16) -> str:
    """Write `path` (.safetensors) and the .json beside it, each by an atomic rename; return the policy's hash.

    Raises CheckpointError, and writes nothing, when a weight is not finite in `dtype`.
    """
    path = Path(path)
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in policy.model.state_dict().items()}
    _check_finite(state, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = save_tensors(state)
    document: dict[str, Any] = {
        "format": FORMAT,
        "layout_version": LAYOUT_VERSION,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "encoder_sha256": policy.encoder_hash,
        "config": asdict(policy.model.config),
        **Scales.of(policy).model_dump(by_alias=True),
        "inputs": policy.inputs.model_dump(mode="json"),
        "facts": dict(policy.facts),
    }
    _write_together({path: weights, path.with_suffix(".json"): _signed(document)})
    return document["weights_sha256"]


def restate_inputs(path: Path, inputs: PolicyInputs) -> None:
    """Write anew what the policy `path` (.safetensors) says of its inputs; the weights stay. Raises CheckpointError."""
    document, _ = check_weights(path)
    content = dict(document.content) | {"inputs": inputs.model_dump(mode="json")}
    _write_together({document.path: _signed(content)})


def _signed(document: Mapping[str, Any]) -> bytes:
    return json.dumps({**document, "document_sha256": document_hash(document)}, indent=1).encode()


def _write_together(contents: Mapping[Path, bytes]) -> None:
    partials = {target: target.with_name(target.name + ".partial") for target in contents}
    for target, content in contents.items():
        partials[target].write_bytes(content)
    # All are on disk before any is seen: only an end between two of these lines leaves a pair that is refused.
    for target, partial in partials.items():
        partial.replace(target)


def load_policy(path: str | Path, encoder_hash: str | None = None, architecture: type[Clwm] = Clwm) -> Policy:
    """Read and check a policy; the model comes back in float32, in eval mode.

    encoder_hash: of the encoder in use; None skips that check. architecture: Clwm, or a baseline of its interface.
    Raises CheckpointError.
    """
    path = Path(path)
    document, weights = check_weights(path)
    content = document.content
    if encoder_hash is not None:
        document.check_encoder(encoder_hash)
    try:
        sections = _Sections.model_validate_json(json.dumps({name: content[name] for name in _Sections.model_fields}))
    except ValidationError as error:
        raise CheckpointError(f"{explain(document.path, error, _Sections)}; export the policy again") from None
    model = architecture(sections.config)
    _fill(model, weights, path)
    return Policy(
        model=model.eval(),
        codec=sections.normaliser,
        features=sections.features,
        state_predictor=sections.state_predictor,
        encoder_hash=document.encoder_hash,
        facts=content["facts"],
        policy_hash=document.weights_hash,
        inputs=document.inputs,
    )


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
    _check_finite(tensors, path)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def _check_finite(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: tensor '{name}' has numbers that are not finite; go on from an earlier checkpoint"
            )
