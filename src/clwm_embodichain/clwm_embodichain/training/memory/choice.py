"""Which hand a model chooses: a batch of streams up to the choice, then the chunk that it would send."""

from __future__ import annotations

import torch
from torch import Tensor

from clwm_common.actions import LEFT_POSITION, RIGHT_POSITION
from clwm_embodichain.training.policy.samples import LONGEST_PREFIX, Samples, encode_observation
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.flow import clamp_prefix, euler_step, flow_times, integrate, row_times


@torch.inference_mode()
def chunks_after(
    model: Clwm, steps: list[Samples], plan: Plan, generator: torch.Generator, *, forgets: bool = False
) -> Tensor:
    """Coded chunks (batch, 16, 30) that answer the last of `steps`, each a batch of observations of the same streams.

    forgets: begin every chunk with the memory of a new episode.
    """
    memory = model.initial_memory(len(steps[0]))
    for index, batch in enumerate(steps):
        if forgets:
            memory = model.initial_memory(len(batch))
        context = encode_observation(model, memory, batch)
        memory = model.write(memory, context)
        if index == len(steps) - 1:
            return _chunks(model, memory, context, batch, plan, generator)
    raise ValueError("no observations to answer; expected at least one step")


def _chunks(model: Clwm, memory, context, batch: Samples, plan: Plan, generator: torch.Generator) -> Tensor:
    count, config = len(batch), model.config
    eps = torch.randn(count, config.visual_tokens, config.feature_channels, generator=generator)
    residual = integrate(
        lambda x, s: model.video_velocity(memory, context, x, torch.full((count,), s)), eps, plan.video_steps
    )
    working, context = model.absorb(memory.fork(), context, residual)
    prefix = batch.target[:, :LONGEST_PREFIX]
    x = clamp_prefix(torch.randn(batch.target.shape, generator=generator), prefix)
    times = flow_times(plan.action_steps)
    for s, following in zip(times[:-1], times[1:], strict=True):
        velocity = model.action_velocity(working, context, x, row_times(s, LONGEST_PREFIX, x.shape[1], count))
        x = clamp_prefix(euler_step(x, velocity, s, following), prefix)
    return x


def chosen_arms(rows: Tensor) -> Tensor:
    """(batch,) 0 or 1: the hand that moves further in physical chunks (batch, 16, 30)."""
    moved = [(rows[:, -1, part] - rows[:, 0, part]).norm(dim=-1) for part in (LEFT_POSITION, RIGHT_POSITION)]
    return (moved[1] > moved[0]).long()
