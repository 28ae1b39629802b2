"""Committed rows as a policy meets them at run time: those of its own last chunk, not quite where an expert would be.

An expert's committed rows lead to where its plan goes on, and a policy that has seen no others need not look at them:
it begins where the picture says, and the motion jumps. Here they stray, and what follows goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, JOINTS, LEFT_POSITION, RIGHT_POSITION
from clwm_embodichain.training.policy.samples import POSE_SCALE, Coding

RETURN_ROWS = 8  # 0.4 s in which the free rows come back to the plan


@dataclass(frozen=True)
class Straying:
    """joints: (14,) coded units that a rad of each joint is. positions: (2, 3) those that a POSE_SCALE of a tool is."""

    joints: Tensor
    positions: Tensor

    @classmethod
    def of(cls, coding: Coding) -> Straying:
        """In the units of this coding."""
        chunk = coding.codec.chunk
        half = torch.tensor((chunk.high - chunk.low) / 2.0, dtype=torch.float32)
        tools = torch.stack([half[LEFT_POSITION], half[RIGHT_POSITION]])
        return cls(1.0 / half[JOINTS], float(POSE_SCALE[0]) / tools)

    def rows(self, lengths: Tensor, jacobian: Tensor, share: float, size: float) -> Tensor:
        """What is to be added to coded chunks: (n, 16, 30), where the joints stray and the tools with them.

        lengths: (n,) committed rows; the first is where the arms are, and does not stray. jacobian: (n, 16, 2, 6, 7)
        pose error in POSE_SCALE of a coded joint error. share: of the chunks that stray; size: standard deviation at
        their last committed row, rad.
        """
        count = len(lengths)
        strays = (torch.rand(count) < share) & (lengths > 1)
        last = size * torch.randn(count, JOINTS.stop - JOINTS.start) * self.joints * strays[:, None]
        joints = _course(lengths)[..., None] * last[:, None]
        shift = (jacobian @ joints.unflatten(-1, (2, 7)).unsqueeze(-1)).squeeze(-1)[..., :3] * self.positions
        found = torch.zeros(count, CHUNK_ROWS, ACTION_DIM)
        found[..., JOINTS] = joints
        found[..., LEFT_POSITION], found[..., RIGHT_POSITION] = shift[..., 0, :], shift[..., 1, :]
        return found


def _course(lengths: Tensor) -> Tensor:
    """(n, 16) shares of what the last committed row strays: up to there from the first row on, then back to nothing."""
    rows, last = torch.arange(CHUNK_ROWS), (lengths - 1)[:, None]
    out = rows / last.clamp(min=1)
    back = 0.5 * (1.0 + torch.cos(torch.pi * ((rows - last) / RETURN_ROWS).clamp(0.0, 1.0)))
    return torch.where(rows <= last, out, back)
