"""The denoising engine: speculates the next chunk on a predicted observation, then finishes it on the real one.

Time line of chunk k + 1, whose request comes when chunk k starts to move:

    idle      ground the surrogate: stage 1 under the true context of chunk k gives f^, the features one horizon later
              speculate: the program of chunk k + 1 on f^ and predicted proprioception, as far as the re-entry policy can use it
    blocking  the real frame: encode it, write it to W_long, resume the program where the policy says, under the true context

No ROS, no threads, and no clock but the injected stopwatch, which only measures durations. Same inputs, same chunks, bit for
bit on one backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, FeatureFrame, MemoryPolicy, SaiReport
from clwm_policy.border import Border
from clwm_policy.errors import DuplicateFrame, EngineError, NonFiniteOutput, NothingRequested, RequestRefused, StaleFrame
from clwm_policy.flow import noise
from clwm_policy.long_term import LongTermMemory
from clwm_policy.program import Conditions, Draw, Program
from clwm_policy.re_entry import START, Plan, Point, ReEntryPolicy

DIGEST_DIGITS = 16  # of the memory's hash in a report


@dataclass(frozen=True)
class _Grounded:
    """The last chunk made from a real observation: its program grounds the surrogate of the next one."""

    program: Program
    features: Tensor
    anchor: NDArray[np.float32]


@dataclass(frozen=True)
class _Finished:
    """What a report needs of the chunk just made."""

    request: ChunkRequest
    frame: FeatureFrame
    features: Tensor
    previous: _Grounded | None
    surrogate: Tensor | None
    point: Point
    nfe_idle: int
    nfe_blocking: int
    context_seconds: float
    memory_seconds: float
    finish_seconds: float


class Engine:
    """Makes one chunk per request. All calls from one thread.

    model: the world model on its device, in evaluation mode. border: physical to normalised units and back. embed: sentence ->
    (width,) language embedding. stopwatch: seconds of a steady clock.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        border: Border,
        embed: Callable[[str], NDArray[np.float32]],
        re_entry: ReEntryPolicy,
        plan: Plan,
        stopwatch: Callable[[], float],
    ) -> None:
        self._model = model.eval()
        self._border = border
        self._embed = embed
        self._re_entry = re_entry
        self._plan = plan
        self._stopwatch = stopwatch
        with torch.inference_mode():
            self._w_long = LongTermMemory(model.initial_memory(1))
        self._epoch: int | None = None
        self._instruction = ""
        self._language: Tensor | None = None
        self._seed: int | None = None
        self._last_stamp = -float("inf")
        self._request: ChunkRequest | None = None
        self._draw: Draw | None = None
        self._speculation: Program | None = None
        self._grounded: _Grounded | None = None
        self._finished: _Finished | None = None
        self._nfe_idle = 0

    @property
    def memory(self) -> LongTermMemory:
        """The long-term memory, to look at, save and restore."""
        return self._w_long

    @property
    def pending(self) -> ChunkRequest | None:
        """The request being worked on."""
        return self._request

    @property
    def speculated_to(self) -> Point:
        """How far the speculation of the pending chunk has got."""
        return START if self._speculation is None else self._speculation.point

    def start_episode(self, seed: int) -> None:
        """Begin in a new world: empty long-term memory, no surrogate, no branch; noise from `seed` from now on."""
        self._drop_branch()
        self._grounded = None
        self._w_long.reset()
        self._last_stamp = -float("inf")
        self._seed = seed

    def set_task(self, epoch: int, instruction: str, memory_policy: MemoryPolicy = MemoryPolicy.KEEP) -> None:
        """Change the task: the branch and the surrogate of the old one are dropped.

        The memory is saved under the old instruction first; RESTORE brings back what was saved under the new one.
        Raises UnknownSnapshot for a RESTORE of a task not met before; the old task then stays.
        """
        if memory_policy is MemoryPolicy.RESTORE and instruction != self._instruction:
            leaving = self._w_long.fork()
            self._w_long.restore(instruction)
            del leaving
        language = torch.from_numpy(np.array(self._embed(instruction), dtype=np.float32)).reshape(1, -1)
        if self._epoch is not None:
            self._w_long.save(self._instruction)
