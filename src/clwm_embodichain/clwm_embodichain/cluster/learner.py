"""One of several processes that train a policy together, each on its share of the streams."""

from __future__ import annotations

import io
import os
import socket
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import psutil
import torch
from torch import distributed

from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.streams import StreamStep
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_policy.model.clwm import Clwm


class Learner:
    """Learner `rank` of `count`, on the GPU that it was given, or else on `threads` cores.

    `join` the others, then `step` with them. All do the same: each answers what the whole group found.
    """

    def __init__(
        self,
        rank: int,
        count: int,
        threads: int,
        model: Clwm,
        coding: Coding,
        settings: TrainingSettings,
        goals: Sequence[str] = (),
    ) -> None:
        torch.set_num_threads(threads)
        self._rank, self._count, self._settings = rank, count, settings
        self._has_gpu = torch.cuda.is_available()
        if self._has_gpu:
            torch.set_default_device("cuda")
        self._shown = _Shown(torch.get_default_device())
        # The driver's clock is everybody's: the learning rate depends on it.
        model, coding = model.to(self._shown.device), deepcopy(coding)  # what comes by Ray cannot be written to
        self._trainer = PolicyTrainer(model, self._shown, coding, settings, lambda: 0.0, goals)
        self._draw_apart()

    def join(self, meeting: str, address: str) -> None:
        """Meet the others. meeting: `file://...` or `tcp://...`, the same for all; address: of this machine."""
        for library in ("GLOO", "NCCL"):
            os.environ[f"{library}_SOCKET_IFNAME"] = _interface(address)
        backend = "nccl" if self._has_gpu else "gloo"
        distributed.init_process_group(backend, meeting, rank=self._rank, world_size=self._count)
        self._trainer.distribute()

    def step(self, seconds: float, shown: Sequence[StreamStep]) -> dict[str, float] | None:
        """One step of all learners. seconds: of training so far; shown: to this learner, a segment of observations.

        Returns and raises what `Trainer.step` does.
        """
        self._trainer.seconds = seconds
        self._shown.steps.extend(shown)
        return self._trainer.step()

    def state(self) -> bytes:
        """What the trainer keeps, as torch saves it: without its place in streams that nobody can go back to."""
        return packed(self._trainer.state() | {"streams": {}, "memory": None, "foreseen": None})

    def resume(self, state: bytes) -> None:
        self._trainer.resume(unpacked(state))
        self._draw_apart()

    def _draw_apart(self) -> None:
        """Random numbers of its own: the same noise for all would be less noise."""
        torch.manual_seed(self._settings.seed + 1_000_003 * (self._rank + self._count * self._trainer.steps_done))


class _Shown:
    """What the driver shows, in place of streams of this process's own."""

    walks = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: deque[StreamStep] = deque()

    def next(self) -> StreamStep:
        return self.steps.popleft().to(self.device)

    def state(self) -> dict[str, Any]:
        return {}

    def resume(self, state: dict[str, Any]) -> bool:
        return False

    def begin_anew(self) -> None:
        """It is the driver who begins."""


def free_port(address: str) -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def unpacked(state: bytes) -> dict[str, Any]:
    """The tensors of a state, in this machine's memory."""
    return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)


def packed(state: dict[str, Any]) -> bytes:
    """For `unpacked`, wherever the tensors are."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _interface(address: str) -> str:
    """The network interface that has `address`."""
    for name, addresses in psutil.net_if_addrs().items():
        if address in {each.address for each in addresses}:
            return name
    raise OSError(f"no network interface of this machine has the address {address}; `ip address` shows them")
