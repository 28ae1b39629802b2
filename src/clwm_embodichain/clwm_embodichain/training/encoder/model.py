"""The encoder before training: a DINOv3 ViT whose random weights suit its small width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DINOv3ViTConfig, DINOv3ViTModel

REGISTERS = 4


@dataclass(frozen=True)
class TrainingConfig:
    """Size of the network and course of the training. A batch: `states`, each in two looks and by all cameras.

    minutes bounds the time of all runs of a resumed training together, steps its length; the first one ends it.
    bfloat16: compute the network in it, where the processor can.
    """

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
    bfloat16: bool = True

    @property
    def grid(self) -> int:
        return self.image_size // self.patch

    def progress(self, steps: int, seconds: float) -> float:
        """0 at the start, 1 when the time or the number of steps is used up."""
        return min(1.0, max(steps / self.steps, seconds / (60.0 * self.minutes)))


def build_model(config: TrainingConfig) -> DINOv3ViTModel:
    """A DINOv3 ViT with random weights of a scale that suits its small width."""
    torch.manual_seed(config.seed)
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
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            # The default 0.02 is meant for widths of 400 and more; the last layer of a branch starts smaller.
            out = 1.0 / np.sqrt(2 * config.layers) if "o_proj" in name or "down_proj" in name else 1.0
            nn.init.normal_(weight, std=float(out / np.sqrt(weight.shape[1])))
    return model


def whiten_patches(model: DINOv3ViTModel, images: Tensor) -> None:
    """Start the patch embedding at the evened-out principal components of real patches: descent need not find them.

    images: (n, 3, height, width), preprocessed.
    """
    weight = model.embeddings.patch_embeddings.weight
    side = weight.shape[-1]
    patches = functional.unfold(images, side, stride=side).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(dim=0)
    covariance = torch.cov((patches - mean).T)
    variance, directions = torch.linalg.eigh(covariance)
    variance, directions = variance.flip(0)[: len(weight)].clamp(min=0.0), directions.flip(1)[:, : len(weight)]
    # Square-root whitening: rare detail counts more than its energy, noise does not count as much as content.
    rows = (directions / (variance + 1e-3 * variance[0]).sqrt().sqrt()).T
    rows = rows / ((patches - mean) @ rows.T).std()
    with torch.no_grad():
        weight.copy_(rows.reshape(weight.shape))
        model.embeddings.patch_embeddings.bias.copy_(-rows @ mean)
