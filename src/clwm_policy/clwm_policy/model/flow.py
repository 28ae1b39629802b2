"""Conditional flow matching on the straight path, its Euler integration, and noise that can be replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


def point_on_path(eps: Tensor, clean: Tensor, s: Tensor) -> Tensor:
    """x^(s) = (1-s) eps + s x, of velocity x - eps all along; s broadcasts from the left against eps and clean."""
    s = _broadcast(s, clean)
    return (1.0 - s) * eps + s * clean


def noise(episode_seed: int, chunk_id: int, shape: tuple[int, ...], stage: str) -> Tensor:
    """Standard normal noise that is a function of its arguments alone; `stage` keeps 'video' and 'action' apart."""
    digest = hashlib.sha256(f"{episode_seed}:{chunk_id}:{stage}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randn(shape, generator=generator)


def flow_times(steps: int) -> list[float]:
    """The steps + 1 flow times 0 ... 1 of an integration. Raises ValueError when steps < 1."""
    if steps < 1:
        raise ValueError(f"{steps} flow steps asked for; at least 1 is needed")
    return [index / steps for index in range(steps)] + [1.0]


def subdivide(times: list[float], done: int, steps: int) -> list[float]:
    """Flow times that agree with `times` up to index `done` and go on from there to 1 in `steps` equal steps."""
    start = times[done]
    return times[: done + 1] + [start + (1.0 - start) * step / steps for step in range(1, steps)] + [1.0]


def euler_step(x: Tensor, velocity: Tensor, s: float, s_next: float, out: Tensor | None = None) -> Tensor:
    """Move x along the velocity from s to s_next. out: where the result is written; may be `velocity`."""
    return torch.add(x, velocity, alpha=s_next - s, out=out)


def integrate(velocity: Callable[[Tensor, float], Tensor], x: Tensor, steps: int) -> Tensor:
    """Integrate dx/ds = velocity(x, s) from s = 0 to s = 1."""
    times = flow_times(steps)
    for s, s_next in zip(times[:-1], times[1:], strict=True):
        x = euler_step(x, velocity(x, s), s, s_next)
    return x


def clamp_prefix(x: Tensor, prefix: Tensor) -> Tensor:
    """x (batch, rows, width) with its first rows replaced by prefix (batch, p, width)."""
    return torch.cat([prefix, x[:, prefix.shape[1] :]], dim=1)


def row_times(s: float, prefix_rows: int, rows: int, batch: int = 1) -> Tensor:
    """(batch, rows) flow times: 1 for the committed prefix, s for the rows still being made."""
    times = torch.full((batch, rows), s)
    times[:, :prefix_rows] = 1.0
    return times


def _broadcast(s: Tensor, like: Tensor) -> Tensor:
    return s.reshape(s.shape + (1,) * (like.dim() - s.dim()))
