"""What the policy is trained on: one observation of several streams, both stages, several noises per context."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clwm_common.actions import (
    ACTION_DIM,
    GRIPPERS,
    JOINTS,
    LEFT_QUATERNION,
    RIGHT_QUATERNION,
)
from clwm_embodichain.training.policy.points import PointHead
from clwm_embodichain.training.policy.samples import LONGEST_PREFIX, Samples
from clwm_embodichain.training.policy.straying import Straying
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.feature_scale import FeatureScale
from clwm_policy.model.flow import integrate, point_on_path

PREFIX_LENGTHS = (1, 1, 2, LONGEST_PREFIX, LONGEST_PREFIX)  # of committed rows; each is drawn equally often


@dataclass(frozen=True)
class LossSettings:
    """Mixing probabilities and weights of the losses.

    history_augmentation: probability that an observation's feature is mixed with noise, s_aug ~ U[0.5, 1] (paper).
    surrogate: probability that an observation is replaced by its own prediction, as in speculation.
    forgotten: probability that the executed rows are hidden, so that the policy cannot live on repeating its motion.
    strayed: probability that committed rows are not the expert's, but stray as a policy's own do at run time; stray: by
    how much, rad (standard deviation of each joint at the last of them).
    own_prediction, noised_future: what stage 2 gets as f^; the rest of the time it gets no change at all. own_steps: of
    the flow that an own prediction takes, drawn anew each time, as it takes some at run time.
    weight_bound: bound of the velocity loss's weight 1 / (1-s)^2. Unbounded, nearly all weight would lie in the last
    tenth of the path, where the answer is already in the input.
    pose_weight: of the tool motion that errors of the joints make together: joints are what is executed, and
    millimetres at the tool are what decides.
    """

    noises: int = 4
    video_noises: int = 2
    history_augmentation: float = 0.5
    surrogate: float = 0.15
    forgotten: float = 0.15
    strayed: float = 0.5
    stray: float = 0.010
    own_prediction: float = 0.6
    noised_future: float = 0.25
    own_steps: tuple[int, ...] = (1, 2, 4)
    weight_bound: float = 4.0
    quaternion_weight: float = 0.25
    eef_weight: float = 0.5
    joint_weight: float = 1.0
    gripper_weight: float = 2.0
    pose_weight: float = 1.0


@dataclass(frozen=True)
class StepResult:
    """Losses of one observation, the memory after it, and the (detached) predicted next feature (batch, tokens, C).

    by_stream: (batch,) the action loss of each stream, detached. keypose: (batch,) the auxiliary loss of each stream.
    """

    video: Tensor
    action: Tensor
    by_stream: Tensor
    keypose: Tensor
    memory: MemoryState
    prediction: Tensor


def channel_weights(settings: LossSettings) -> Tensor:
    """(30,) with mean 1: joints are what is executed, the rest keeps the representation honest."""
    weights = torch.full((ACTION_DIM,), settings.eef_weight)
    weights[LEFT_QUATERNION] = weights[RIGHT_QUATERNION] = settings.quaternion_weight
    weights[JOINTS] = settings.joint_weight
    weights[GRIPPERS] = settings.gripper_weight
    return weights / weights.mean()


def observation_losses(
    model: Clwm,
    scale: FeatureScale,
    memory: MemoryState,
    batch: Samples,
    future: Tensor,
    foreseen: Tensor | None,
    settings: LossSettings,
    straying: Straying | None = None,
    keyposes: PointHead | None = None,
) -> StepResult:
    """Losses of one observation per stream, exactly in the order of the engine's program.

    batch: the observation (batch of streams). future: (batch, tokens, C) the true next feature. foreseen: what was
    predicted for this observation one horizon ago, NaN where nothing was. straying: how committed rows do; None: not.
    keyposes: reads them from the context; None: nobody does.
    """
    count = len(batch)
    present = batch.features.float()
    features, base, proprioception = _augmented(present, batch, foreseen, settings)
    kept = torch.rand(count, 1) >= settings.forgotten
    context = model.encode_context(
        memory, features, proprioception, batch.executed, batch.executed_mask & kept, batch.language
    )
    memory = model.write(memory, context)

    keypose = torch.zeros(count)
    if keyposes is not None:
        keypose = keyposes.loss(model, memory, context, batch.keypose, batch.keypose_known)
    residual = scale.residual(base, future)
    video_loss, own = _video_loss(model, memory, context, residual, settings)
    stage2_input = _future_mix(residual, own, settings)
    working, context = model.absorb(memory.fork(), context, stage2_input)
    action_loss = _action_loss(model, working, context, batch, settings, straying)
    prediction = scale.apply(base, own).detach()
    return StepResult(video_loss, action_loss.mean(), action_loss.detach(), keypose, memory, prediction)


def _augmented(
    present: Tensor, batch: Samples, foreseen: Tensor | None, settings: LossSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Features as shown, features that the residual starts from (without the noise), and proprioception."""
    count, base = len(present), present
    s_aug = 0.5 + 0.5 * torch.rand(count)
    s_aug = torch.where(torch.rand(count) < settings.history_augmentation, s_aug, torch.ones(()))
    features = point_on_path(torch.randn_like(present), present, s_aug)
    proprioception = batch.proprioception
    if foreseen is not None:
        usable = torch.isfinite(foreseen[:, 0, 0]) & (torch.rand(count) < settings.surrogate)
        features = torch.where(usable[:, None, None], foreseen, features)
        base = torch.where(usable[:, None, None], foreseen, base)
        proprioception = torch.where(usable[:, None], batch.predicted_proprioception, proprioception)
    return features, base, proprioception


def _video_loss(
    model: Clwm, memory: MemoryState, context: Context, residual: Tensor, settings: LossSettings
) -> tuple[Tensor, Tensor]:
    """Loss, and the detached prediction from pure noise."""
    count, noises = len(residual), settings.video_noises
    s = torch.rand(count, noises)
    s[:, 0] = 0.0  # the point every integration starts from, and what stage 2 is shown
    clean = residual.repeat_interleave(noises, dim=0)
    s = s.flatten()
    x = point_on_path(torch.randn_like(clean), clean, s)
    believed = model.video_clean(memory, context, x, s)
    error = (believed - clean).square().mean((1, 2))
    loss = (error * _weight(s, settings)).mean()
    steps = settings.own_steps[int(torch.randint(len(settings.own_steps), (), device="cpu"))]
    if steps == 1:
        return loss, believed.detach()[::noises]

    def velocity(x: Tensor, s: float) -> Tensor:
        return model.video_velocity(memory, context, x, torch.full((count,), s))

    with torch.no_grad():
        return loss, integrate(velocity, x[::noises], steps)


def _future_mix(residual: Tensor, own: Tensor, settings: LossSettings) -> Tensor:
    count = len(residual)
    noised = point_on_path(torch.randn_like(residual), residual, 0.5 + 0.5 * torch.rand(count))
    draw = torch.rand(count)[:, None, None]
    other = torch.where(draw < settings.own_prediction + settings.noised_future, noised, torch.zeros_like(residual))
    return torch.where(draw < settings.own_prediction, own, other)


def _action_loss(
    model: Clwm,
    memory: MemoryState,
    context: Context,
    batch: Samples,
    settings: LossSettings,
    straying: Straying | None,
) -> Tensor:
    """(batch,) of each stream."""
    count, noises = len(batch), settings.noises
    lengths = torch.tensor(PREFIX_LENGTHS)[torch.randint(len(PREFIX_LENGTHS), (count * noises,))]
    # After four committed rows, noise and all, the expert goes on from where they led.
    long = lengths == LONGEST_PREFIX
    clean = _choose(long, batch.committed, batch.target)
    jacobian = _choose(long, batch.committed_jacobian, batch.target_jacobian).float()
    if straying is not None:
        clean = clean + straying.rows(lengths, jacobian, settings.strayed, settings.stray)
    committed = torch.arange(clean.shape[1]) < lengths[:, None]
    # Stratified over [0, 1): the noises of one context cover the path evenly.
    s = ((torch.arange(noises) + torch.rand(count, noises)) / noises).flatten()
    x = torch.where(committed[..., None], clean, point_on_path(torch.randn_like(clean), clean, s))
    times = torch.where(committed, torch.ones(()), s[:, None])
    believed = model.action_clean(memory, context, x, times)
    difference = believed - clean
    joints = difference[..., JOINTS].unflatten(-1, (2, 7)).unsqueeze(-1)
    pose = (jacobian @ joints).square().mean((-1, -2, -3))
    error = (difference.square() * channel_weights(settings)).mean(-1) + settings.pose_weight * pose
    free = (~committed).float()
    error = error * batch.weight.repeat_interleave(noises, dim=0)
    return ((error * free).sum(1) / free.sum(1) * _weight(s, settings)).unflatten(0, (count, noises)).mean(1)


def _choose(long: Tensor, committed: Tensor, target: Tensor) -> Tensor:
    noises = len(long) // len(target)
    where = long.reshape(-1, *([1] * (target.dim() - 1)))
    return torch.where(where, committed.repeat_interleave(noises, dim=0), target.repeat_interleave(noises, dim=0))


def _weight(s: Tensor, settings: LossSettings) -> Tensor:
    return (1.0 / (1.0 - s).square().clamp(min=1e-6)).clamp(max=settings.weight_bound)
