"""One training of the encoder: the simulator's supervision, and self-distillation between two looks of one state."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from clwm_embodichain.training.encoder.data import FramePool, Frames
from clwm_embodichain.training.encoder.heads import (
    Supervision,
    cells_of,
    gated_loss,
    local_loss,
    pose_loss,
    positions,
    segment_loss,
)
from clwm_embodichain.training.encoder.model import SIZES, TrainingConfig, build_model, whiten_patches
from clwm_embodichain.training.encoder.remounting import remount
from clwm_embodichain.training.encoder.roles import ASKED, FIRST_POINTS, ROLES, pose_errors, scaled, unscaled
from clwm_embodichain.training.encoder.stability import distillation_loss, effective_rank, relative_distance
from clwm_embodichain.training.muon import Muon
from clwm_embodichain.training.trainer import Trainer, moving_average
from clwm_perception.backends import pool_tokens
from clwm_perception.preprocess import Preprocessing

WEIGHTS = {
    "patch_class": 0.5,
    "patch_offset": 1.0,
    "cell_class": 0.5,
    "cell_offset": 6.0,
    "segment": 0.5,
    "cell_place": 2.0,
    "cell_pose": 3.0,
    "pose": 1.5,
    "curved_pose": 0.7,
    "distillation": 0.7,
}
_DISTILLED_FROM = 0.3  # of the budget on with full weight: before, there is little to agree on
_CLIP = 5.0
_EMA_RAMP = 10.0
_REFRESH_EVERY = 50  # steps from one look for new shards to the next


class EncoderTrainer(Trainer):
    """A step is a batch that depends on nothing but the seed, the number of steps and the pool."""

    def __init__(self, config: TrainingConfig, pool: FramePool, initial: PreTrainedModel | None = None) -> None:
        """initial: an encoder of this size whose weights to begin with."""
        self.config = config
        self.pool = pool
        model = build_model(config).train()
        self.supervision = Supervision(config.channels, config.grid // config.pool, config.image_size)
        self._preprocess = Preprocessing((config.image_size, config.image_size))
        sample = pool.draw(np.random.default_rng(config.seed), 64).images
        whiten_patches(model, self._preprocess(_pictures(sample)))
        if initial is not None:
            model.load_state_dict(initial.state_dict())
        matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2]
        others = [weight for weight in model.parameters() if weight.ndim != 2]
        heads = self.supervision
        local = [
            weight for head in (heads.patch, heads.cell, heads.gated, heads.segment) for weight in head.parameters()
        ]
        optimisers = [
            Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay),
            torch.optim.AdamW(
                [
                    {"params": [*others, *local]},
                    # Each output sums thousands of inputs, which all move at once.
                    {"params": [*heads.pose.parameters()], "lr": config.learning_rate / 20},
                ],
                lr=config.learning_rate / 2,
                betas=(0.9, 0.98),
                weight_decay=0.0,
            ),
        ]
        average = moving_average(model, config.ema, _EMA_RAMP)
        super().__init__(model, optimisers, _CLIP, time.process_time, average, head=self.supervision)
        self.ema.requires_grad_(False)

    @property
    def progress(self) -> float:
        return self.config.progress(self.steps_done, self.seconds)

    def grids(self, model: PreTrainedModel, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Patch grid (n, grid, grid, C) and pooled grid of pictures (n, height, width, 3)."""
        side = self.config.grid
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            tokens = model(pixel_values=self._preprocess(images)).last_hidden_state
        tokens = tokens[:, -side * side :].float()
        return tokens.unflatten(1, (side, side)), pool_tokens(tokens, side, side, self.config.pool)

    def losses(self) -> tuple[dict[str, Tensor], Tensor]:
        if self.steps_done % _REFRESH_EVERY == 0:
            self.pool.refresh()
        rng = np.random.default_rng([self.config.seed, 1, self.steps_done])
        frames = self.pool.draw(rng, self.config.states)
        taught = int(rng.integers(2))
        if self.config.remounts:
            frames = remount(frames, rng)
        found = self._losses(frames, taught)
        weights = WEIGHTS | {"distillation": WEIGHTS["distillation"] * min(1.0, self.progress / _DISTILLED_FROM)}
        total = torch.stack([weights[name] * loss for name, loss in found.items()]).sum()
        return found | {"total": total}, total

    def _losses(self, frames: Frames, taught: int) -> dict[str, Tensor]:
        """The losses of one batch, before they are weighted. taught: the look that the teacher sees."""
        heads, size = self.supervision, self.config.image_size
        views = frames.images.shape[:3]
        patches, pooled = self.grids(self.model, _pictures(frames.images))
        pixels = torch.from_numpy(frames.pixels).flatten(0, 2)
        present = torch.from_numpy(frames.points_present)[:, None, None].expand(*views, -1).flatten(0, 2)
        segments = torch.from_numpy(frames.segments).flatten(0, 2)
        patch_class, patch_offset = local_loss(heads.patch, patches, pixels, present, size)
        cell_class, cell_offset = local_loss(heads.cell, pooled, pixels, present, size)
        place, lies = positions(pixels, present, pooled.shape[1], size)
        cells = cells_of(place, pooled.shape[1])
        within = 2.0 * (place - place.floor() - 0.5).nan_to_num(0.0)
        cell_place = gated_loss(heads.gated.place, pooled, cells, lies, within)
        pooled = pooled.unflatten(0, views)
        poses, asked = (
            torch.from_numpy(values)[:, None].expand(-1, views[1], -1, -1).flatten(0, 1)
            for values in (scaled(frames.poses), frames.asked)
        )
        fixed = (torch.arange(len(pooled) * views[1]) * views[2])[:, None], torch.from_numpy(FIRST_POINTS)
        head_grid = pooled[:, :, 0].flatten(0, 1)
        cell_pose = gated_loss(heads.gated.pose, head_grid, cells[fixed], lies[fixed], poses)
        linear, curved = heads.pose(pooled.flatten(0, 1))
        with torch.no_grad():
            _, answer = self.grids(self.ema, _pictures(frames.images[:, taught]))
        return {
            "patch_class": patch_class,
            "patch_offset": patch_offset,
            "cell_class": cell_class,
            "cell_offset": cell_offset,
            "cell_place": cell_place,
            "cell_pose": cell_pose,
            "segment": segment_loss(heads.segment, patches, segments),
            "pose": pose_loss(linear, poses, asked),
            "curved_pose": pose_loss(curved, poses, asked),
            "distillation": distillation_loss(pooled[:, 1 - taught], answer.unflatten(0, (views[0], views[2]))),
        }

    def on_left_out(self) -> None:
        self.steps_done += 1  # the same batch would be left out again

    def rate(self, base: float) -> float:
        """Linear warm-up, constant, linear fall to zero."""
        rest = (1.0 - self.progress) / self.config.cool_down
        return base * float(np.clip(min((self.steps_done + 1) / self.config.warm_up, rest), 0.0, 1.0))

    @torch.no_grad()
    def evaluate(self, frames: Frames) -> dict[str, float]:
        """Of the averaged weights on frames of two looks: median errors [mm, deg] by kind of object, as the linear head
        reads them; relative distance between looks; deviation and effective rank of the features, which say whether
        they collapse.
        """
        poses, grids = [], []
        for start in range(0, len(frames), 16):
            images = frames.images[start : start + 16]
            _, pooled = self.grids(self.ema, _pictures(images))
            pooled = pooled.unflatten(0, images.shape[:3])
            grids.append(pooled)
            poses.append(self.supervision.pose(pooled[:, 0])[0])
        features = torch.cat(grids)
        result = median_errors(unscaled(torch.cat(poses).numpy()), frames)
        cells = features[:, 0].flatten(0, 3)
        return result | {
            "looks_apart": relative_distance(features[:, 0], features[:, 1]),
            "feature_std": float(cells.std(dim=0).mean()),
            "effective_rank": effective_rank(cells),
        }

    def state(self) -> dict[str, Any]:
        return super().state() | {"config": asdict(self.config), "heads": self.supervision.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a network of another size."""
        for name in SIZES:
            if state["config"].get(name) != getattr(self.config, name):
                raise ValueError(
                    f"checkpoint has {name}={state['config'].get(name)}, this run {getattr(self.config, name)}; "
                    "choose another --run folder"
                )
        super().resume(state)
        self.supervision.load_state_dict(state["heads"])


def median_errors(estimate: np.ndarray, frames: Frames) -> dict[str, float]:
    """Median errors `<kind>_mm` and `<kind>_deg` of poses (n, roles, 5), all colours of a kind together."""
    found: dict[str, list[np.ndarray]] = {}
    for index, role in enumerate(ROLES):
        there = frames.present[:, index]
        if not there.any() or not ASKED[index].any():
            continue
        kind = role.rpartition(" ")[2]
        errors = pose_errors(estimate[there, index], frames.poses[there, index], index)
        for unit, values in zip(("mm", "deg"), errors, strict=True):
            if unit == "mm" or not np.isnan(values).all():
                found.setdefault(f"{kind}_{unit}", []).append(values)
    return {name: float(np.median(np.concatenate(values))) for name, values in found.items()}


def _pictures(images: np.ndarray) -> np.ndarray:
    """(..., height, width, 3) as one row of pictures."""
    return np.ascontiguousarray(images.reshape(-1, *images.shape[-3:]))
