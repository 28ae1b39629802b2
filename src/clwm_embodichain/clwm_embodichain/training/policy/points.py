"""Auxiliary losses: points in the world that a policy has to know, read from the context of an observation.

A chunk spans less than a second, so that what is far away, and which of several things is meant, hardly shows in it.
Asked for are each arm's next keypose, where its tool is when its gripper next begins to open or close; and where the
things are that another sentence names, so that each picture is seen with several sentences (`references`). Neither
heads nor losses are part of the policy.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clwm_common.actions import GRIPPERS, LEFT_POSITION, RIGHT_POSITION
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm, Context

POSITIONS = (LEFT_POSITION, RIGHT_POSITION)
_MOVED = 1e-3  # m that a commanded opening changes from one row to the next
_BETA = 0.1  # coded error up to which the loss is quadratic


def next_keyposes(
    executed: NDArray[np.float32], rows: NDArray[np.int64], asked: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Positions (n, 2, 3) m of both tools at their next keypose from each of `rows` (n,) on, left first, and whether
    there is one (n, 2) before the episode ends or something else is asked for. executed: (T, 30); asked: (n,) what is.
    """
    changes = np.abs(np.diff(executed[:, GRIPPERS], axis=0)) > _MOVED
    begins = changes & ~np.vstack([np.zeros((1, 2), bool), changes[:-1]])
    until = np.append(rows, len(executed))[np.searchsorted(asked, asked, side="right")]  # asked only ever grows
    places, known = np.zeros((len(rows), 2, 3), np.float32), np.zeros((len(rows), 2), bool)
    for arm, position in enumerate(POSITIONS):
        there = np.append(np.flatnonzero(begins[:, arm]), len(executed))
        following = there[np.searchsorted(there, rows)]
        known[:, arm] = following < until
        places[:, arm] = executed[np.minimum(following, len(executed) - 1), position]
    return places * known[..., None], known


class PointHead(nn.Module):
    """A token for each of two points reads an observation's context, as the policy's own tokens do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(0.02 * torch.randn(2, width))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 3)

    def places(self, model: Clwm, memory: MemoryState, context: Context, batch: int) -> Tensor:
        """(batch, 2, 3) coded, of each stream."""
        return self.out(self.norm(model.read(memory, context, self.tokens.expand(batch, -1, -1))))

    def loss(self, model: Clwm, memory: MemoryState, context: Context, places: Tensor, known: Tensor) -> Tensor:
        """(batch,) of each stream, 0 where no point is known. places: (batch, 2, 3) coded; known: (batch, 2)."""
        found = self.places(model, memory, context, len(places))
        error = functional.smooth_l1_loss(found, places, reduction="none", beta=_BETA)
        return (error.mean(-1) * known).sum(-1) / known.sum(-1).clamp(min=1)


class Points(nn.Module):
    """The heads of both losses."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keypose, self.referent = PointHead(width), PointHead(width)
