"""An encoder on disk: a Hugging Face folder of the DINOv3 family, a ViT or a ConvNeXt, ours or one the user has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clwm_perception.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

WEIGHTS = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
ARCHITECTURES = ("dinov3_vit", "dinov3_convnext")
_STEM = 4  # px, side of the patches that a ConvNeXt begins with; each stage after the first halves the grid
POOL = 2  # side of the square of patch tokens that one feature is the mean of, unless somebody asks for another


class EncoderError(RuntimeError):
    """An encoder that cannot be used; the message names the file, what was found, what was expected and the remedy."""


@dataclass(frozen=True)
class EncoderCheckpoint:
    """A checked folder. weights_hash: SHA-256 hex over the weight files, which identifies the features.

    patch_size: (height, width) px of one patch token.
    """

    folder: Path
    encoder_id: str
    weights_hash: str
    preprocessing: Preprocessing
    patch_size: tuple[int, int]

    def grid(self, pool: int) -> tuple[int, int]:
        """(rows, columns) of features a picture, each the mean of `pool` x `pool` patch tokens.

        Raises EncoderError for a pool that does not divide the patches.
        """
        rows, columns = (side // patch for side, patch in zip(self.preprocessing.size, self.patch_size, strict=True))
        if pool < 1 or rows % pool or columns % pool:
            raise EncoderError(f"pool factor {pool} does not divide the {rows} x {columns} patches; choose a divisor")
        return rows // pool, columns // pool

    def load_model(self) -> Any:
        """Build transformers' model of the architecture in float32, evaluation mode, with these weights and no others.

        Raises EncoderError when a weight is missing, unknown or of another shape than the configuration says:
        transformers itself would fill such a weight with random numbers and only warn.
        """
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging

        verbosity = transformers_logging.get_verbosity()
        bars = transformers_logging.is_progress_bar_enabled()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            model, report = AutoModel.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
            raise EncoderError(f"{self.folder} cannot be loaded: {error}; restore it from its source") from error
        finally:
            transformers_logging.set_verbosity(verbosity)
            if bars:
                transformers_logging.enable_progress_bar()
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if wrong := sorted(str(key) for key in report.get(kind, ())):
                raise EncoderError(
                    f"{self.folder}: {len(wrong)} {kind.replace('_', ' ')} (first: {wrong[0]}); "
                    f"{WEIGHTS} and config.json must come from one and the same checkpoint"
                )
        if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
            raise EncoderError(f"{self.folder / WEIGHTS} holds numbers that are not finite; restore it from its source")
        return model.eval().requires_grad_(False)


def open_checkpoint(folder: str | Path) -> EncoderCheckpoint:
    """Check a folder without loading its weights. Raises EncoderError saying what is missing or of the wrong kind."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise EncoderError(
            f"encoder folder {folder} does not exist; expected a Hugging Face folder with config.json and {WEIGHTS}"
        )
    config = _read_json(folder / "config.json", required=True)
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        expected = " or ".join(f"'{name}'" for name in ARCHITECTURES)
        raise EncoderError(f"{folder / 'config.json'}: model_type is {kind!r}; expected {expected}")
    ours = _read_json(folder / "clwm.json")
    patch_size = patch_size_of(config)
    return EncoderCheckpoint(
        folder=folder,
        encoder_id=str(ours.get("id", folder.resolve().name)),
        weights_hash=weights_hash(folder),
        preprocessing=_preprocessing(folder, config, ours, patch_size),
        patch_size=patch_size,
    )


def patch_size_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) px of the picture that one token stands for; config: what config.json says."""
    if config["model_type"] == "dinov3_convnext":
        stages = len(config["hidden_sizes"]) if "hidden_sizes" in config else 4
        return _pair(_STEM << stages - 1)
    return _pair(config.get("patch_size", 16))


def weights_hash(folder: str | Path) -> str:
    """SHA-256 hex of the folder's weights: of model.safetensors, or over the digests of its shards in order of name."""
    folder = Path(folder)
    if (folder / WEIGHTS).is_file():
        return _file_hash(folder / WEIGHTS)
    if (folder / SHARD_INDEX).is_file():
        shards = sorted(set(_read_json(folder / SHARD_INDEX).get("weight_map", {}).values()))
        if missing := [name for name in shards if not (folder / name).is_file()]:
            raise EncoderError(f"{folder} lacks the shard {missing[0]} named in {SHARD_INDEX}; download it again")
        return hashlib.sha256("".join(_file_hash(folder / name) for name in shards).encode()).hexdigest()
    others = sorted(path.name for path in folder.glob("*.bin")) + sorted(path.name for path in folder.glob("*.pt*"))
    found = f"; {others[0]} is not accepted, because pickles can run code" if others else ""
    raise EncoderError(f"{folder} has no {WEIGHTS}{found}; expected weights in safetensors format")


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:
    # hashlib.file_digest came with Python 3.11; 3.10 is supported too.
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _read_json(path: Path, required: bool = False) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise EncoderError(f"{path} does not exist; expected a Hugging Face folder with config.json and {WEIGHTS}")
        return {}
    try:
        data = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EncoderError(f"{path} is not JSON: {error}; restore it from its source") from None
    if not isinstance(data, dict):
        raise EncoderError(f"{path} holds a {type(data).__name__}; expected a JSON object")
    return data


def encoder_inputs(preprocessing: Preprocessing) -> dict[str, Any]:
    """What clwm.json says under 'inputs': (height, width) of the pictures in training, and their normalisation."""
    return {
        "picture_size": list(preprocessing.size),
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }


def _preprocessing(
    folder: Path, config: dict[str, Any], ours: dict[str, Any], patch_size: tuple[int, int]
) -> Preprocessing:
    """Of our own encoders what clwm.json says; of others the image processor's, else the configuration's image size."""
    if ours:
        found = _trained_inputs(folder / "clwm.json", ours)
    else:
        processor = _read_json(folder / "preprocessor_config.json")
        size = processor.get("size", {})
        has_both = {"height", "width"} <= set(size)
        found = Preprocessing(
            size=_pair((size["height"], size["width"]) if has_both else config.get("image_size", 224)),
            mean=tuple(processor.get("image_mean", IMAGENET_MEAN)),
            std=tuple(processor.get("image_std", IMAGENET_STD)),
        )
    if any(side % patch for side, patch in zip(found.size, patch_size, strict=True)):
        raise EncoderError(
            f"input size {found.size[0]} x {found.size[1]} is no multiple of the patch size "
            f"{patch_size[0]} x {patch_size[1]}; correct image_size in config.json or size in preprocessor_config.json"
        )
    return found


def _trained_inputs(path: Path, ours: dict[str, Any]) -> Preprocessing:
    again = "start `clwm train-encoder` once more in the same --run folder: it writes the encoder anew"
    inputs = ours.get("inputs")
    if inputs is None:
        raise EncoderError(f"{path} does not say what the encoder's inputs are ('inputs' is missing); {again}")
    try:
        found = {name: np.asarray(inputs[name], dtype=np.float64) for name in ("picture_size", "mean", "std")}
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{path}: 'inputs' cannot be read ({error}); {again}") from None
    for name, length in (("picture_size", 2), ("mean", 3), ("std", 3)):
        values = found[name]
        if values.shape != (length,) or not np.isfinite(values).all() or (name != "mean" and (values <= 0.0).any()):
            raise EncoderError(f"{path}: 'inputs.{name}' is {inputs[name]!r}; expected {length} numbers; {again}")
    return Preprocessing(_pair(inputs["picture_size"]), tuple(inputs["mean"]), tuple(inputs["std"]))


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, (list, tuple)) else (int(value), int(value))
