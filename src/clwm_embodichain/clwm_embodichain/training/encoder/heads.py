"""What the simulator teaches the encoder: where things are and what is what, by patch, by pooled cell and in metres.

The heads are thrown away after training. Only the pooled grid reaches the policy, so it is asked the same questions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from clwm_embodichain.training.encoder.roles import NUMBERS, OWNERS, ROLES, SEGMENTS

POINTS = len(OWNERS)
_ELSEWHERE_WEIGHT = 0.03  # of a cell that a thing is not in: nearly all are not
_ABSENT_WEIGHT = 0.1  # of a point that is not in a picture: most are not, and saying so is easy


class LocalHead(nn.Module):
    """Asks each token of a grid whether a point lies in its cell, and where in it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.answer = nn.Linear(channels, 3 * POINTS)
        self.absent = nn.Linear(channels, POINTS)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """grid (n, rows, columns, channels) -> logits (n, points, cells + 1), the last for "not in the picture", and
        offsets (n, points, cells, 2) as (u, v) from a cell's centre in cells."""
        tokens = grid.flatten(1, 2)
        found, du, dv = self.answer(tokens).transpose(1, 2).chunk(3, dim=1)
        absent = self.absent(tokens.mean(dim=1)).unsqueeze(-1)
        return torch.cat([found, absent], dim=-1), torch.stack([du, dv], dim=-1)


class GatedHead(nn.Module):
    """Asks each pooled cell for numbers that are 0 unless an object lies in it, so that a sum over cells finds it.

    place: whether each point lies in the cell and, if so, where in it. pose: whether each role's object does and, if
    so, its pose, which only the fixed camera can tell.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.place = nn.Linear(channels, POINTS * 3)
        self.pose = nn.Linear(channels, len(ROLES) * (1 + NUMBERS))


class PoseHead(nn.Module):
    """From the pooled grids of all cameras to scaled poses: once linearly, as a probe reads them, once less so."""

    def __init__(self, inputs: int, hidden: int = 256) -> None:
        super().__init__()
        numbers = len(ROLES) * NUMBERS
        self.linear = nn.Linear(inputs, numbers)
        self.curved = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, numbers))
        nn.init.zeros_(self.linear.weight)

    def forward(self, grids: Tensor) -> tuple[Tensor, Tensor]:
        """grids (n, ...) -> two estimates (n, roles, 5)."""
        flat = grids.flatten(1)
        return tuple(head(flat).unflatten(1, (len(ROLES), NUMBERS)) for head in (self.linear, self.curved))


class Supervision(nn.Module):
    """All heads. cells: side of the pooled grid."""

    def __init__(self, channels: int, cells: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.patch = LocalHead(channels)
        self.cell = LocalHead(channels)
        self.gated = GatedHead(channels)
        self.segment = nn.Linear(channels, len(SEGMENTS))
        self.pose = PoseHead(3 * cells * cells * channels)


def local_loss(
    head: LocalHead, grid: Tensor, pixels: Tensor, present: Tensor, image_size: int
) -> tuple[Tensor, Tensor]:
    """Classification and offset loss; grid (n, side, side, channels), pixels (n, points, 2), present (n, points)."""
    logits, offsets = head(grid)
    side = grid.shape[1]
    position, visible = positions(pixels, present, side, image_size)
    cell = position.nan_to_num(0.0).floor().long().clamp(0, side - 1)
    index = cell[..., 1] * side + cell[..., 0]
    target = torch.where(visible, index, side * side)
    classification = functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    weight = torch.where(visible, 1.0, _ABSENT_WEIGHT)
    chosen = offsets.gather(2, index[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
    error = functional.smooth_l1_loss(chosen, (position - cell - 0.5).nan_to_num(0.0), beta=0.02, reduction="none")
    shown = visible.unsqueeze(-1)
    return (classification * weight).sum() / weight.sum(), (error * shown).sum() / (2 * shown.sum()).clamp(min=1)


def cells_of(position: Tensor, side: int) -> Tensor:
    """Numbers of the cells, row by row, that positions (..., 2) in cells lie in; any for those outside."""
    cell = position.nan_to_num(0.0).floor().long().clamp(0, side - 1)
    return cell[..., 1] * side + cell[..., 0]


def positions(pixels: Tensor, present: Tensor, side: int, image_size: int) -> tuple[Tensor, Tensor]:
    """Pixels (n, points, 2) in cells of a side x side grid, and which lie in the picture and on a present object."""
    position = (pixels + 0.5) * (side / image_size)
    return position, present & ((position >= 0.0) & (position < side)).all(dim=-1)


def gated_loss(head: nn.Linear, grid: Tensor, cells: Tensor, lies: Tensor, values: Tensor) -> Tensor:
    """Squared error of gated numbers; grid (n, side, side, channels), cells (n, things) numbers of cells row by row,
    lies (n, things) whether a thing is in the picture, values (n, things, k): what its cell has to say beside 1.
    """
    answer = head(grid.flatten(1, 2)).unflatten(2, (lies.shape[1], values.shape[2] + 1))
    told = torch.cat([torch.ones_like(values[..., :1]), values], dim=-1) * lies.unsqueeze(-1)
    at = cells[:, None, :, None].expand(-1, 1, -1, told.shape[-1])
    target = torch.zeros_like(answer).scatter(1, at, told.unsqueeze(1))
    error = (answer - target).square().mean(dim=-1)
    there = torch.zeros_like(error).scatter(1, cells.unsqueeze(1), lies.to(error.dtype).unsqueeze(1))
    weight = _ELSEWHERE_WEIGHT + (1.0 - _ELSEWHERE_WEIGHT) * there
    return (error * weight).sum() / there.sum().clamp(min=1)


def segment_loss(head: nn.Linear, grid: Tensor, segments: Tensor) -> Tensor:
    """Cross-entropy of what shares of each patch show; grid (n, side, side, channels), segments (n, h, w) numbers."""
    side = grid.shape[1]
    blocks = segments.shape[1] // side
    shown = functional.one_hot(segments.long(), len(SEGMENTS)).to(grid.dtype)
    shares = shown.unflatten(2, (side, blocks)).unflatten(1, (side, blocks)).mean(dim=(2, 4))
    return -(shares * head(grid).log_softmax(dim=-1)).sum(dim=-1).mean()


def pose_loss(estimate: Tensor, poses: Tensor, asked: Tensor) -> Tensor:
    """Robust error of scaled poses (n, roles, 5), over the numbers that are asked for."""
    error = functional.smooth_l1_loss(estimate, poses, beta=0.05, reduction="none")
    return (error * asked).sum() / asked.sum().clamp(min=1)
