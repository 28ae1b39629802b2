"""The encoder before training: a small member of the DINOv3 family whose random weights suit its width."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel, DINOv3ViTConfig, DINOv3ViTModel, PreTrainedModel

REGISTERS = 4
SIZES = ("family", "channels", "layers", "heads", "patch", "image_size", "pool")  # what the weights depend on
STEM = 4  # px, side of the patches that a ConvNeXt begins with
_EARLY_LAYERS = (1, 2, 4)  # of the stages before the last one: large pictures take the most time


@dataclass(frozen=True)
class TrainingConfig:
    """Size of the network and course of the training. A batch: `states`, each in two looks and by all cameras.

    family: `vit`, or `convnext`: stages of 4, 8, ... px up to `patch`, the last of `channels` and `layers`, each one
    before it of half the channels. heads: of a ViT's attention.
    minutes bounds the processor time of all runs of a resumed training together, steps its length; the first one ends
    it. remounts: see half of the pictures as cameras mounted otherwise would. bfloat16: compute the network in it,
    where the processor can. mounting: of the pictures' cameras, as `render --mounting` says it.
    """

    family: str = "vit"
    channels: int = 192
    layers: int = 5
    heads: int = 6
    patch: int = 16
    image_size: int = 128
    pool: int = 2
    states: int = 12
    minutes: float = 80.0
    steps: int = 1_000_000
    learning_rate: float = 2e-3
    warm_up: int = 100
    cool_down: float = 0.4  # share of the budget over which the learning rate falls to zero
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0
    remounts: bool = True
    mounting: float = 1.0
    bfloat16: bool = True

    @property
    def grid(self) -> int:
        return self.image_size // self.patch

    def progress(self, steps: int, seconds: float) -> float:
        """0 at the start, 1 when the time or the number of steps is used up."""
        return min(1.0, max(steps / self.steps, seconds / (60.0 * self.minutes)))


def build_model(config: TrainingConfig) -> PreTrainedModel:
    """A ViT or a ConvNeXt with random weights of a scale that suits its small width.

    Raises ValueError for a family that is neither.
    """
    torch.manual_seed(config.seed)
    if config.family == "vit":
        return _vit(config)
    if config.family == "convnext":
        return _convnext(config)
    raise ValueError(f"family is '{config.family}'; expected 'vit' or 'convnext'")


def _vit(config: TrainingConfig) -> DINOv3ViTModel:
    model = DINOv3ViTModel(
        DINOv3ViTConfig(
            patch_size=config.patch,
            hidden_size=config.channels,
            intermediate_size=4 * config.channels,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            image_size=config.image_size,
            num_register_tokens=REGISTERS,
            pos_embed_rescale=None,
        )
    )
    model.set_attn_implementation("eager")  # torch's fused one goes back ten times slower on a CPU in bfloat16
    _scale_weights([*model.named_parameters()], config.layers, ("o_proj", "down_proj"))
    return model


def _convnext(config: TrainingConfig) -> DINOv3ConvNextModel:
    """Raises ValueError for a patch or a width that stages do not lead to."""
    before = (config.patch // STEM).bit_length() - 1
    if config.patch not in (STEM << stages for stages in range(len(_EARLY_LAYERS) + 1)) or config.channels % (
        1 << before
    ):
        patches = ", ".join(str(STEM << stages) for stages in range(len(_EARLY_LAYERS) + 1))
        raise ValueError(
            f"a ConvNeXt of patch {config.patch} and {config.channels} channels has no stages; expected a patch of "
            f"{patches}, and channels that can be halved once for each stage but one"
        )
    depths = [*_EARLY_LAYERS[:before], config.layers]
    model = DINOv3ConvNextModel(
        DINOv3ConvNextConfig(
            hidden_sizes=[config.channels >> halved for halved in range(before, -1, -1)],
            depths=depths,
            image_size=config.image_size,
            layer_scale_init_value=1.0,
        )
    )
    _scale_weights([*model.named_parameters()], sum(depths), ("pointwise_conv2",))
    return model


def _scale_weights(named: Iterable[tuple[str, nn.Parameter]], layers: int, ends: tuple[str, ...]) -> None:
    """Deviations of 1 / sqrt(inputs): the default of 0.02 is meant for widths of 400 and more. ends: names of the last
    layers of branches, which start smaller the more of them add up.
    """
    for name, weight in named:
        if weight.ndim in (2, 4):
            out = 1.0 / np.sqrt(2 * layers) if any(end in name for end in ends) else 1.0
            nn.init.normal_(weight, std=float(out / np.sqrt(weight[0].numel())))


def whiten_patches(model: nn.Module, images: Tensor) -> None:
    """Start the patch embedding at the evened-out principal components of real patches: descent need not find them.

    images: (n, 3, height, width), preprocessed.
    """
    embedding = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    side = embedding.weight.shape[-1]
    patches = functional.unfold(images, side, stride=side).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(dim=0)
    covariance = torch.cov((patches - mean).T)
    variance, directions = torch.linalg.eigh(covariance)
    count = min(embedding.weight.shape[0], len(variance))
    variance, directions = variance.flip(0)[:count].clamp(min=0.0), directions.flip(1)[:, :count]
    # Square-root whitening: rare detail counts more than its energy, noise does not count as much as content.
    rows = (directions / (variance + 1e-3 * variance[0]).sqrt().sqrt()).T
    rows = rows / ((patches - mean) @ rows.T).std()
    with torch.no_grad():
        embedding.weight[:count] = rows.unflatten(1, embedding.weight.shape[1:])
        embedding.bias[:count] = -rows @ mean
