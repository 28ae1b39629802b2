"""A small head that says how probable it is that what was asked for holds now, and the file that it is kept in.

The file is safetensors; its metadata says which encoder's features it reads, which goals it knows, from which
probability on it says that one is done, and how often that was wrong on episodes that it had not seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional

from clwm_common.files.config_files import Strict, explain
from clwm_common.files.policy_document import CheckpointError
from clwm_common.files.signed_documents import document_hash

FORMAT = "clwm-success/1"
FILE_NAME = "success.safetensors"
TRAIN_AGAIN = "train it again with `clwm train-success`"
_TOKEN_WIDTH, _HIDDEN = 16, 48


class Sizes(Strict):
    """What decides the shape of the weights: of the features, and of the instruction's embedding."""

    cameras: PositiveInt
    rows: PositiveInt
    columns: PositiveInt
    channels: PositiveInt
    text_width: PositiveInt


class SuccessHead(nn.Module):
    """Features of all cameras, weighed by what is asked for.

    mean, std: (C,) of the features that it was trained on. calibration: (2,) factor and offset from its own logit to
    that of a probability.
    """

    mean: Tensor
    std: Tensor
    calibration: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.token = nn.Linear(sizes.channels, _TOKEN_WIDTH)
        self.scene = nn.Linear(sizes.cameras * sizes.rows * sizes.columns * _TOKEN_WIDTH, _HIDDEN)
        self.asked = nn.Linear(sizes.text_width, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 1)
        self.register_buffer("mean", torch.zeros(sizes.channels))
        self.register_buffer("std", torch.ones(sizes.channels))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, features: Tensor, language: Tensor, dropout: float = 0.0) -> Tensor:
        """Logits (n,) of features (n, cameras, rows, columns, C) and language (n, width).

        dropout: share of the hidden values that a training leaves out.
        """
        tokens = torch.relu(self.token((features.float() - self.mean) / self.std))
        scene = functional.dropout(torch.relu(self.scene(tokens.flatten(1))), dropout)
        return self.out(scene * self.asked(language)).squeeze(1) * self.calibration[0] + self.calibration[1]


class Rate(Strict):
    """So many of so many."""

    count: NonNegativeInt
    of: NonNegativeInt


class KnownError(Strict):
    """What was wrong in one condition, on episodes that no training saw.

    false_done: episodes that it called done while what was asked for did not hold. missed_done: episodes in which it
    held for long enough, and was not called done.
    """

    meaning: str
    in_distribution: bool
    false_done: Rate
    missed_done: Rate

    @property
    def is_useful(self) -> bool:
        """Whether both errors together are nearer to none than to a guess, whose shares add up to one."""
        shares = [one.count / one.of if one.of else 1.0 for one in (self.false_done, self.missed_done)]
        return sum(shares) < 0.5


class SuccessFacts(Strict):
    """What a head reads, knows, and is known to get wrong.

    goals: that it knows, by the names that a policy's inputs have for their sentences. threshold, chunks: it says done
    when so many chunks in a row have at least this probability. errors: by condition. made: how, for people.
    """

    encoder_sha256: str
    sizes: Sizes
    goals: tuple[str, ...] = Field(min_length=1)
    threshold: float = Field(gt=0.0, lt=1.0)
    chunks: PositiveInt
    errors: dict[str, KnownError] = {}
    made: dict[str, Any] = {}

    def known_error(self) -> str:
        """How often it is known to be wrong, in words for people."""
        if not self.errors:
            return "nobody has measured how often it is wrong"
        parts = []
        for is_inside, where in ((True, "as in its training"), (False, "unlike its training")):
            of_this = [error for error in self.errors.values() if error.in_distribution == is_inside]
            if of_this:
                parts.append(f"in episodes that look {where}: " + "; ".join(map(_in_words, of_this)))
        return ". ".join(parts)


def _in_words(error: KnownError) -> str:
    false, missed = error.false_done, error.missed_done
    worth = "" if error.is_useful else "of no use with "
    return f"{worth}{error.meaning}: wrongly done {false.count} of {false.of}, missed {missed.count} of {missed.of}"


def save_success_head(path: Path, head: SuccessHead, facts: SuccessFacts) -> None:
    """Write the file, by an atomic rename."""
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in head.state_dict().items()}
    content = {"facts": facts.model_dump_json(), "format": FORMAT, "weights_sha256": _digest(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(save_tensors(tensors, {**content, "document_sha256": document_hash(content)}))
    partial.replace(path)


def load_success_head(path: Path) -> tuple[SuccessHead, SuccessFacts]:
    """Raises CheckpointError for a file that is not there, damaged or of something else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); {TRAIN_AGAIN}") from None
    try:
        tensors, metadata = load_tensors(data), _metadata(data)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated, damaged or not safetensors ({error}); {TRAIN_AGAIN}") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a success head (format is not '{FORMAT}'); {TRAIN_AGAIN}")
    is_whole = metadata.get("document_sha256") == document_hash(metadata)
    if not is_whole or metadata["weights_sha256"] != _digest(tensors):
        raise CheckpointError(f"{path} was changed after it was written; restore it, or {TRAIN_AGAIN}")
    try:
        facts = SuccessFacts.model_validate_json(metadata["facts"])
    except ValidationError as error:
        raise CheckpointError(f"{explain(path, error, SuccessFacts)}; {TRAIN_AGAIN}") from None
    head = SuccessHead(facts.sizes)
    try:
        head.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights are not of its sizes ({error}); {TRAIN_AGAIN}") from None
    return head.eval().requires_grad_(False), facts


def _digest(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def _metadata(data: bytes) -> dict[str, Any]:
    """Of a file that safetensors has read: 8 bytes of length, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}
