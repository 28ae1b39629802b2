"""Auxiliary losses: points in the world that a policy has to know, read from the context of an observation.

A chunk spans less than a second, so that what is far away, and which of several things is meant, hardly shows in it.
Asked for are each arm's next keypose, where its tool is when its gripper next begins to open or close; and where the
things are that another sentence names, so that each picture is seen with several sentences. Which thing a word means
is learned only from many scenes side by side, and a batch of streams shows too few: these are drawn anew from what was
seen before. Neither heads nor losses are part of the policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clwm_common.actions import ACTION_DIM, GRIPPERS, LEFT_POSITION, RIGHT_POSITION
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.sizes import EXECUTED_ROWS

if TYPE_CHECKING:
    from clwm_embodichain.training.policy.samples import Samples

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

    def loss(self, model: Clwm, memory: MemoryState, context: Context, places: Tensor, known: Tensor) -> Tensor:
        """(batch,) of each stream, 0 where no point is known. places: (batch, 2, 3) coded; known: (batch, 2)."""
        tokens = model.read(memory, context, self.tokens.expand(len(places), -1, -1))
        error = functional.smooth_l1_loss(self.out(self.norm(tokens)), places, reduction="none", beta=_BETA)
        return (error.mean(-1) * known).sum(-1) / known.sum(-1).clamp(min=1)


class ReferenceBuffer:
    """The last `capacity` observations with a reference, of whatever episodes, each equally likely to be drawn."""

    _KEPT = ("features", "proprioception", "reference", "referents", "referents_known")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._added = 0
        self._rows: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(self, seen: Samples) -> None:
        """Those of a batch that have one."""
        told = seen.referents_known.any(-1)
        rows = (self._added + torch.arange(int(told.sum()))) % self._capacity
        for name in self._KEPT:
            new = getattr(seen, name)[told]
            new = new.half() if name in ("features", "reference") else new
            if name not in self._rows:
                self._rows[name] = new.new_zeros(self._capacity, *new.shape[1:])
            self._rows[name][rows] = new
        self._added += len(rows)

    def loss(self, head: PointHead, model: Clwm, count: int) -> Tensor:
        """The mean of `count` of them, seen without noise, memory or past; 0 while there is none."""
        if not self._added:
            return torch.zeros(())
        drawn = torch.randint(len(self), (count,))
        features, proprioception, reference, referents, known = (self._rows[name][drawn] for name in self._KEPT)
        memory = model.initial_memory(count)
        past = features.new_zeros(count, EXECUTED_ROWS, ACTION_DIM, dtype=torch.float32)
        nothing = torch.zeros(past.shape[:2], dtype=torch.bool, device=past.device)
        context = model.encode_context(memory, features.float(), proprioception, past, nothing, reference.float())
        return head.loss(model, memory, context, referents, known).mean()


class Points(nn.Module):
    """The heads of both losses."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keypose, self.referent = PointHead(width), PointHead(width)
