"""How good a policy is on held-out episodes, without a simulator: the whole program, as the engine runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from clwm_common.actions import GRIPPERS, JOINTS
from clwm_embodichain.training.policy.samples import LONGEST_PREFIX, POSE_SCALE, Coding, Samples, encode_observation
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.flow import clamp_prefix, integrate, row_times

_STRIDE = 3  # samples per horizon: pictures every 4 rows


@torch.no_grad()
def validate(
    model: Clwm,
    coding: Coding,
    samples: Samples,
    video_steps: int = 4,
    action_steps: int = 4,
    goals: Sequence[str] = (),
) -> dict[str, float]:
    """Walk every held-out episode from its first row, memory carried along.

    Returns eef_mm (median) and eef_p90_mm, where the *joints* would put the tools, joint_mrad (median) and gripper_mm
    (mean) over the rows that would be executed, eef_p90_mm of each goal, surrogate_error and copy_error (relative,
    normalised features), and their ratio.
    """
    generator = torch.Generator().manual_seed(0)
    index = torch.unique(samples.first)
    memory = model.initial_memory(len(index))
    alive = torch.ones(len(index), dtype=torch.bool)
    eef, joints, grippers, tasks, surrogate, copy = [], [], [], [], [], []
    prefix_rows = 1
    while alive.any():
        batch = samples.take(index)
        present = batch.features.float()
        context = encode_observation(model, memory, batch)
        memory = model.write(memory, context)
        start = torch.randn(present.shape, generator=generator)
        residual = integrate(
            lambda x, s, m=memory, c=context: model.video_velocity(m, c, x, torch.full((len(x),), s)),
            start,
            video_steps,
        )
        working, context = model.absorb(memory.fork(), context, residual)
        wanted = batch.target if prefix_rows == 1 else batch.committed
        start = clamp_prefix(torch.randn(wanted.shape, generator=generator), wanted[:, :prefix_rows])
        chunk = integrate(
            lambda x, s, m=working, c=context, p=prefix_rows: model.action_velocity(
                m, c, x, row_times(s, p, x.shape[1], len(x))
            ),
            start,
            action_steps,
        )
        future = samples.features[batch.following].float()
        predicted = coding.features.apply(present, residual)
        difference = _physical((chunk - wanted)[alive, prefix_rows:], coding)
        jacobian = (batch.target_jacobian if prefix_rows == 1 else batch.committed_jacobian)[alive, prefix_rows:]
        eef.append(_tool_error((chunk - wanted)[alive, prefix_rows:], jacobian))
        joints.append(np.abs(difference[..., JOINTS]).ravel())
        grippers.append(np.abs(difference[..., GRIPPERS]).ravel())
        tasks.append(batch.task[alive].numpy())
        moving = alive & (batch.following - index == _STRIDE)
        surrogate.append(_relative(predicted, future)[moving])
        copy.append(_relative(present, future)[moving])
        alive &= index + _STRIDE <= batch.last
        index = torch.where(alive, index + _STRIDE, index)
        prefix_rows = LONGEST_PREFIX
    result = {
        "eef_mm": 1e3 * float(np.median(np.concatenate([e.ravel() for e in eef]))),
        "eef_p90_mm": 1e3 * float(np.quantile(np.concatenate([e.ravel() for e in eef]), 0.9)),
        "joint_mrad": 1e3 * float(np.median(np.concatenate(joints))),
        "gripper_mm": 1e3 * float(np.mean(np.concatenate(grippers))),
        "surrogate_error": float(torch.cat(surrogate).mean()),
        "copy_error": float(torch.cat(copy).mean()),
    }
    for task in np.unique(np.concatenate(tasks)):
        own = np.concatenate([e[t == task].ravel() for e, t in zip(eef, tasks, strict=True)])
        result[f"eef_p90_mm/{goals[task] if goals else task}"] = 1e3 * float(np.quantile(own, 0.9))
    result["surrogate_over_copy"] = result["surrogate_error"] / result["copy_error"]
    return result


def validate_misled(model: Clwm, coding: Coding, samples: Samples, goals: Sequence[str] = ()) -> dict[str, float]:
    """The control of `validate`: each observation's reference in place of its instruction. Returns misled_p90_mm, of
    all and of each goal, no larger than those of `validate` where a policy does not listen; empty without references.
    """
    told = samples.referents_known.any(-1)
    if not told.any():
        return {}
    language = torch.where(told[:, None], samples.reference.float(), samples.language)
    found = validate(model, coding, replace(samples, language=language), goals=goals)
    return {name.replace("eef_p90_mm", "misled_p90_mm"): value for name, value in found.items() if "eef_p90" in name}


def _physical(difference: Tensor, coding: Coding) -> np.ndarray:
    """Differences of coded rows in metres and radians."""
    chunk = coding.codec.chunk
    return difference.double().numpy() * (chunk.high - chunk.low) / 2.0


def _tool_error(difference: Tensor, jacobian: Tensor) -> np.ndarray:
    """(n, rows, 2) distance in m that the joint errors move each tool centre point."""
    joints = difference[..., JOINTS].unflatten(-1, (2, 7)).unsqueeze(-1)
    shift = (jacobian.float() @ joints).squeeze(-1)[..., :3] * float(POSE_SCALE[0])
    return shift.norm(dim=-1).numpy()


def _relative(predicted: Tensor, actual: Tensor) -> Tensor:
    return (predicted - actual).flatten(1).norm(dim=1) / actual.flatten(1).norm(dim=1)
