"""From a checkpoint to an engine ready to work, for the policy node and for an evaluation without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, pack
from clwm_common.clocks import MonotonicClock
from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, FeatureFrame
from clwm_policy.backends.choice import TORCH, Choice, choose
from clwm_policy.engine.calibration import FILE_NAME, load_calibration
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.evidence import FRACTION
from clwm_policy.engine.re_entry import Adaptive, Plan, ReEntryPolicy, parse_re_entry
from clwm_policy.model.checkpoint import Policy, load_policy
from clwm_policy.model.language import SentenceEncoder

WARM_UP_CHUNKS = 4  # the first two are slow (allocation, kernel selection), the second is the first to speculate


@dataclass(frozen=True)
class PolicySettings:
    """What to load and how to run it.

    sai: re-entry policy, `sequential`, `fixed:<s_mid>` or `adaptive`. encoder_hash: of the encoder in use, None
    when the frames will tell. untrained_seed: replace the weights by random ones of the same architecture, the control
    that must fail. backends: what may run the model, the preferred one first. evidence_fraction: of the chunks that is
    made again on idle time.
    """

    checkpoint: Path
    sai: str
    video_steps: int
    action_steps: int
    encoder_hash: str | None = None
    untrained_seed: int | None = None
    backends: tuple[str, ...] = (TORCH,)
    evidence_fraction: float = FRACTION


def load_engine(
    settings: PolicySettings,
    embed: Callable[[str], Tensor] | None = None,
    stopwatch: Callable[[], float] | None = None,
    on_choice: Callable[[Choice], None] | None = None,
) -> Engine:
    """Load, check and warm up; the engine that comes back has seen nothing.

    embed: sentence -> (width,) embedding; by default the sentence model that the policy was trained with. stopwatch:
    seconds of a steady clock; by default the machine's. on_choice: told which backend runs the model.
    Sets torch to one thread, for the whole process: beside a busy neighbour two are many times slower.
    Raises CheckpointError, LanguageError, ReEntryError or BackendError.
    """
    torch.set_num_threads(1)
    plan = Plan(settings.video_steps, settings.action_steps)
    policy = load_policy(settings.checkpoint, settings.encoder_hash)
    if settings.untrained_seed is not None:
        policy = policy.randomised(settings.untrained_seed)
    choice = choose(settings.backends, policy, settings.checkpoint)
    if on_choice is not None:
        on_choice(choice)
    policy = choice.policy
    re_entry = calibrated(settings.sai, settings.checkpoint, policy, plan)
    embed = embed or SentenceEncoder(policy.model.config.text_tokens).embed
    stopwatch = stopwatch or MonotonicClock().now
    # A scratch engine, so that made-up observations never meet the memory that is handed out.
    warm_up(Engine(policy, embed, re_entry, plan, stopwatch), policy)
    return Engine(policy, embed, re_entry, plan, stopwatch, settings.evidence_fraction)


def calibrated(sai: str, checkpoint: Path, policy: Policy, plan: Plan) -> ReEntryPolicy:
    """The re-entry policy of this name, with the calibration beside `checkpoint` if it needs one.

    Raises ReEntryError, or CalibrationError when there is none for these weights.
    """
    re_entry = parse_re_entry(sai)
    if isinstance(re_entry, Adaptive):
        return Adaptive(re_entry.bound, load_calibration(checkpoint.with_name(FILE_NAME), policy, plan))
    return re_entry


def warm_up(engine: Engine, policy: Policy, chunks: int = WARM_UP_CHUNKS) -> None:
    """Make chunks from made-up observations, speculation included."""
    for _ in made_up_episode(engine, policy, chunks):
        pass


def made_up_episode(engine: Engine, policy: Policy, chunks: int) -> Iterator[ActionChunk]:
    """Chunks of an engine that has seen nothing, from observations that mean nothing: to warm up, or to take the time.

    Each is asked for, speculated to its end and finished between one `next` and the following one.
    """
    config = policy.model.config
    pose = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    row = pack(pose, pose, np.zeros(14), np.zeros(2))[None]
    horizon = policy.inputs.execution_horizons[0]
    features = np.zeros((config.cameras, config.grid, config.grid, config.feature_channels), np.float16)
    for chunk_id in range(chunks):
        moves = chunk_id > 0
        engine.request(
            ChunkRequest(
                chunk_id=chunk_id,
                task_epoch=0,
                observe_at=float(chunk_id),
                needed_by=float(chunk_id),
                committed_prefix=np.repeat(row, CHUNK_ROWS - horizon if moves else 1, axis=0),
                executed_rows=np.repeat(row, horizon if moves else 0, axis=0),
                instruction="warm up",
                at_rest=not moves,
                executed_chunk_id=chunk_id - 1 if moves else 0,
            )
        )
        while engine.advance():
            pass
        frame = FeatureFrame(float(chunk_id), features, policy.inputs.cameras, "none", policy.encoder_hash)
        yield engine.observe(frame, DualArmState(float(chunk_id), row[0], np.ones(ACTION_DIM, dtype=bool)))[0]
