"""The .json beside a policy's weights: that the file is whole, and what the policy's inputs mean. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, LAYOUT_VERSION, ROW_DT
from clwm_common.files.signed_documents import read_signed

FORMAT = "clwm-policy/1"
SLOT = re.compile(r"\{(\w+)\}")  # in a sentence
_FIELDS = ("weights_sha256", "encoder_sha256", "config", "normaliser", "features", "state_predictor", "facts")
_AGAIN = "start the command that trained it once more in the same --out folder: it resumes and writes the policy anew"


class CheckpointError(RuntimeError):
    """A checkpoint that must not be used; the message names the file, what is wrong and the remedy."""


class PolicyInputs(BaseModel):
    """What the policy was trained with, as far as those must know who feed it and who ask it.

    cameras: in the order of the features' first axis. picture_size: (height, width) of pictures as the encoder took
    them. row_dt: s from row to row. execution_horizons: rows from one observation to the next. prefix_lengths: rows of
    the committed prefix. sentences: by the name of what they ask for, with `{slots}` where they name something; slots:
    what each of those may name. least_similarity: to one of them (cosine of embeddings), below which a sentence counts
    as unknown; None when nobody has found out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cameras: tuple[str, ...] = Field(min_length=1)
    picture_size: tuple[int, int]
    layout_version: int
    row_dt: float = Field(gt=0.0)
    execution_horizons: tuple[int, ...] = Field(min_length=1)
    prefix_lengths: tuple[int, ...] = Field(min_length=1)
    sentences: dict[str, tuple[str, ...]] = Field(min_length=1)
    slots: dict[str, tuple[str, ...]] = {}
    least_similarity: float | None = Field(None, ge=-1.0, le=1.0)

    @model_validator(mode="after")
    def _agrees(self) -> PolicyInputs:
        if len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"cameras {', '.join(self.cameras)} are not distinct")
        if unknown := [rows for rows in self.execution_horizons if CHUNK_ROWS - rows not in self.prefix_lengths]:
            raise ValueError(
                f"an execution horizon of {unknown[0]} leaves {CHUNK_ROWS - unknown[0]} committed rows, "
                f"which prefix_lengths {list(self.prefix_lengths)} lacks"
            )
        texts = [text for texts in self.sentences.values() for text in texts]
        unfilled = sorted({name for text in texts for name in SLOT.findall(text)} - self.slots.keys())
        if unfilled and self.least_similarity is not None:
            raise ValueError(f"sentences have a slot '{unfilled[0]}' of which slots does not say what it may name")
        return self

    def known_horizons(self) -> tuple[int, ...]:
        """Execution horizons that the policy may be run with, ascending.

        With all rows of a chunk the arms rest before each observation: nothing is foreseen, and one row is committed.
        """
        from_rest = {CHUNK_ROWS} if 1 in self.prefix_lengths else set()
        return tuple(sorted({*self.execution_horizons, *from_rest}))

    def problem_with_cameras(self, cameras: Sequence[str]) -> str:
        """Why features of these cameras, in this order, are not what the policy knows; empty when they are."""
        if tuple(cameras) == self.cameras:
            return ""
        is_order = sorted(cameras) == sorted(self.cameras)
        return (
            f"cameras are {', '.join(cameras)}; the policy was trained on {', '.join(self.cameras)}"
            + (", in this order; give 'cameras' in that order" if is_order else "; give 'cameras' these names")
            + " in config/robots, and to perception when it is started by hand"
        )


@dataclass(frozen=True)
class PolicyDocument:
    """A whole and understood document. content: all of it. feature_grid: (rows, columns) of each camera's features."""

    path: Path
    content: Mapping[str, Any]
    inputs: PolicyInputs

    @property
    def weights_hash(self) -> str:
        return str(self.content["weights_sha256"])

    @property
    def encoder_hash(self) -> str:
        return str(self.content["encoder_sha256"])

    @property
    def feature_grid(self) -> tuple[int, int]:
        side = int(self.content["config"]["grid"])
        return side, side

    def check_encoder(self, encoder_hash: str) -> None:
        """Raises CheckpointError when the policy was trained on another encoder."""
        if encoder_hash != self.encoder_hash:
            raise CheckpointError(
                f"{self.path} was trained on encoder {self.encoder_hash[:12]}..., the encoder in use is "
                f"{encoder_hash[:12]}...; use the encoder shipped beside the policy"
            )

    def check_features(
        self, cameras: Sequence[str], encoder_hash: str, picture_size: tuple[int, int], grid: tuple[int, int]
    ) -> None:
        """Whether features of these cameras and this encoder are those that the policy was trained on.

        Raises CheckpointError.
        """
        if problem := self.inputs.problem_with_cameras(cameras):
            raise CheckpointError(f"{self.path}: {problem}")
        self.check_encoder(encoder_hash)
        if picture_size != self.inputs.picture_size:
            raise CheckpointError(
                f"{self.path} was trained on pictures of {_by(*self.inputs.picture_size[::-1])}, the encoder takes "
                f"{_by(*picture_size[::-1])}; use the encoder shipped beside the policy, its clwm.json unchanged"
            )
        if grid != self.feature_grid:
            raise CheckpointError(
                f"{self.path} was trained on {_by(*self.feature_grid)} features a camera, the encoder gives "
                f"{_by(*grid)}; set perception's 'pool' to what it was in training"
            )


def read_policy_document(path: Path) -> PolicyDocument:
    """Read and check `path`, the .json of a policy. Raises CheckpointError."""
    document = read_signed(
        path,
        FORMAT,
        CheckpointError,
        absent="it belongs beside the weights",
        foreign=f"a CLWM policy (format is not '{FORMAT}'); give the policy's own path",
        remedy="restore it with its weights",
    )
    if document.get("layout_version") != LAYOUT_VERSION:
        raise CheckpointError(
            f"{path} speaks action layout version {document.get('layout_version')}, this code {LAYOUT_VERSION}; "
            "train the policy again with this release"
        )
    if missing := [name for name in _FIELDS if name not in document]:
        raise CheckpointError(f"{path} lacks '{missing[0]}'; {_AGAIN}")
    return PolicyDocument(path, document, _inputs(path, document))


def check_weights(path: Path) -> tuple[PolicyDocument, bytes]:
    """The document of the policy `path` (.safetensors), and its weights as they are on disk.

    Raises CheckpointError unless both are there, whole, and of one training.
    """
    document = read_policy_document(path.with_suffix(".json"))
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); train a policy or restore the file") from None
    if (found := hashlib.sha256(weights).hexdigest()) != document.weights_hash:
        raise CheckpointError(
            f"{path} has sha256 {found[:12]}..., its JSON says {document.weights_hash[:12]}...: "
            "the file is truncated, damaged or from another training; restore both files together"
        )
    return document, weights


def _inputs(path: Path, document: Mapping[str, Any]) -> PolicyInputs:
    if "inputs" not in document:
        raise CheckpointError(
            f"{path} does not say what the policy's inputs mean ('inputs' is missing: cameras, picture size, rows); "
            f"{_AGAIN}"
        )
    try:
        inputs = PolicyInputs.model_validate_json(json.dumps(document["inputs"]))
        config = document["config"]
        sizes = {name: int(config[name]) for name in ("cameras", "grid", "action_dim", "chunk_rows")}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["inputs", *(str(part) for part in first["loc"])])
        raise CheckpointError(f"{path}: field '{where}': {first['msg']}; {_AGAIN}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the model configuration cannot be read ({error}); {_AGAIN}") from None
    for what, found, expected in (
        ("inputs.layout_version", inputs.layout_version, LAYOUT_VERSION),
        ("inputs.row_dt", inputs.row_dt, ROW_DT),
        ("config.action_dim", sizes["action_dim"], ACTION_DIM),
        ("config.chunk_rows", sizes["chunk_rows"], CHUNK_ROWS),
    ):
        if found != expected:
            raise CheckpointError(f"{path}: {what} is {found}, this code works with {expected}; train the policy again")
    if sizes["cameras"] != len(inputs.cameras):
        raise CheckpointError(
            f"{path}: the model takes {sizes['cameras']} cameras, 'inputs' names {', '.join(inputs.cameras)}; {_AGAIN}"
        )
    return inputs


def _by(one: int, other: int) -> str:
    return f"{one} x {other}"
