"""What the simulator teaches the encoder: where key points are, said by patch tokens, by pooled cells and in metres.

The heads are thrown away after training. Only the pooled grid reaches the policy, so it is asked the same questions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clwm_embodichain.training.encoder.data import BLOCK, PAD
from clwm_sim.keypoints import KEYPOINTS

POSE_WIDTH = 18
# Poses in these units are of order 1, and 1 cm weighs about as much as 1.4 degrees.
_POSE_CENTRE = (0.48, 0.0, 0.05, 0.0, 1.0, 0.48, 0.0, 0.05, 0.0, 1.0, 0.48, 0.0, 0.48, 0.2, 0.2, 0.48, -0.2, 0.2)
_POSE_SCALE = (0.1, 0.1, 0.1, 0.25, 0.25, 0.1, 0.1, 0.1, 0.25, 0.25, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)


class LocalHead(nn.Module):
    """Asks each token of a grid whether a key point lies in its cell, and where in it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.answer = nn.Linear(channels, 3 * len(KEYPOINTS))
        self.absent = nn.Linear(channels, len(KEYPOINTS))

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """grid (n, rows, columns, channels) -> logits (n, K, cells + 1), the last for "not in the picture", and offsets
        (n, K, cells, 2) as (u, v) from a cell's centre in cells."""
        tokens = grid.flatten(1, 2)
        found, du, dv = self.answer(tokens).transpose(1, 2).chunk(3, dim=1)
        absent = self.absent(tokens.mean(dim=1)).unsqueeze(-1)
        return torch.cat([found, absent], dim=-1), torch.stack([du, dv], dim=-1)


class PoseHead(nn.Module):
    """A small network from a whole flattened grid to object poses (n, 18), in the scaled units of `scale_poses`."""

    def __init__(self, inputs: int, hidden: int = 192) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, POSE_WIDTH)
        self.hidden = nn.Linear(inputs, hidden)
        self.output = nn.Linear(hidden, POSE_WIDTH)
        nn.init.zeros_(self.linear.weight)

    def forward(self, grid: Tensor) -> Tensor:
        flat = grid.flatten(1)
        return self.linear(flat) + self.output(functional.gelu(self.hidden(flat)))


class Supervision(nn.Module):
    """All heads. `grid` is the side of the patch grid, `pool` the pooling factor."""

    def __init__(self, channels: int, grid: int, pool: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        cells = (grid // pool) ** 2
        self.patch = LocalHead(channels)
        self.cell = LocalHead(channels)
        self.head_pose = PoseHead(cells * channels)
        self.all_pose = PoseHead(3 * cells * channels)

    def local_loss(self, head: LocalHead, grid: Tensor, pixels: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Classification and offset loss of one grid (n, side, side, channels); pixels (n, K, 2), present (n, K)."""
        logits, offsets = head(grid)
        side = grid.shape[1]
        position, visible = self.positions(pixels, present, side)
        cell = position.nan_to_num(0.0).floor().long().clamp(0, side - 1)
        index = cell[..., 1] * side + cell[..., 0]
        target = torch.where(visible, index, side * side)
        classification = functional.cross_entropy(logits.transpose(1, 2), target)
        chosen = offsets.gather(2, index[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
        error = functional.smooth_l1_loss(chosen, (position - cell - 0.5).nan_to_num(0.0), beta=0.02, reduction="none")
        weight = visible.unsqueeze(-1)
        return classification, (error * weight).sum() / (2 * weight.sum()).clamp(min=1)

    def positions(self, pixels: Tensor, present: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Pixels (n, K, 2) in cells of a side x side grid, and which lie in the picture and on a present object."""
        position = (pixels + 0.5) * (side / self.image_size)
        return position, present & ((position >= 0.0) & (position < side)).all(dim=-1)

    def locate(self, head: LocalHead, grid: Tensor) -> Tensor:
        """Estimated pixels (n, K, 2) of every key point: the likeliest cell and the offset that it states."""
        logits, offsets = head(grid)
        side = grid.shape[1]
        best = logits[..., :-1].argmax(dim=-1)
        offset = offsets.gather(2, best[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
        cell = torch.stack([best % side, best.div(side, rounding_mode="floor")], dim=-1)
        return (cell + 0.5 + offset) * (self.image_size / side) - 0.5


def scale_poses(poses: Tensor) -> Tensor:
    """Poses of `encoder_data.object_poses` (n, 18) in units of order 1."""
    return (poses - poses.new_tensor(_POSE_CENTRE)) / poses.new_tensor(_POSE_SCALE)


def unscale_poses(scaled: Tensor) -> Tensor:
    """The inverse of `scale_poses`."""
    return scaled * scaled.new_tensor(_POSE_SCALE) + scaled.new_tensor(_POSE_CENTRE)


def pose_mask(present: Tensor) -> Tensor:
    """(n, 18) which pose numbers mean something, from the key points' presence (n, K)."""
    counts = ((0, 5), (BLOCK, 5), (PAD, 2), (len(KEYPOINTS) - 1, 6))
    return torch.cat([present[:, [keypoint]].expand(-1, count) for keypoint, count in counts], dim=1)


def pose_loss(estimate: Tensor, poses: Tensor, present: Tensor) -> Tensor:
    """Robust error of scaled poses, over the objects that are there."""
    error = functional.smooth_l1_loss(estimate, scale_poses(poses), beta=0.05, reduction="none")
    mask = pose_mask(present)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def pose_errors(estimate: np.ndarray, truth: np.ndarray, present: np.ndarray) -> dict[str, float]:
    """Median errors of poses (n, 18): tray and block position [mm] and yaw [deg], pad position [mm]; NaN if absent."""
    result = {}
    for name, first, keypoint in (("tray", 0, 0), ("block", 5, 6), ("pad", 10, 11)):
        there = present[:, keypoint]
        position = np.linalg.norm(estimate[there, first : first + 2] - truth[there, first : first + 2], axis=1)
        result[f"{name}_mm"] = float(np.median(position) * 1e3) if there.any() else float("nan")
        if name != "pad":
            angles = [np.arctan2(p[there, first + 3], p[there, first + 4]) for p in (estimate, truth)]
            turn = np.abs((angles[0] - angles[1] + np.pi) % (2.0 * np.pi) - np.pi)
            result[f"{name}_deg"] = float(np.degrees(np.median(turn))) if there.any() else float("nan")
    return result
