"""How far predicted features miss what is then seen, in undisturbed episodes of the shipped mode."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import TASKS, Part, Source, over_processes, parts
from clwm_evaluation.virtual.chunk_sources import ModelSource
from clwm_evaluation.virtual.stack import Latency, VirtualStack
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Adaptive
from clwm_policy.model.language import SentenceEncoder
from clwm_sim.world import World

_LATENCY = Latency(0.08)


def errors_of(part: Part, source: Source, calibration: Calibration) -> list[float]:
    """Relative surrogate errors of all chunks of these episodes that had one. Raises CheckpointError."""
    policy, encoder, plan, _ = source.load()
    re_entry = Adaptive(calibration=calibration)
    embed = SentenceEncoder(policy.model.config.text_tokens).embed
    engine = Engine(policy, embed, re_entry, plan, time.perf_counter, evidence_fraction=0.0)
    world = World(part.task)
    model = ModelSource(encoder, engine, tuple(world.robot.cameras))
    with closing(VirtualStack(world, model, _LATENCY)) as stack:
        return [error for seed in part.seeds for error in stack.run(seed).surrogate_errors]


def measured_errors(
    source: Source,
    calibration: Calibration,
    episodes: int,
    first_seed: int,
    workers: int,
    console: PlainConsole,
    tasks: Sequence[str] = TASKS,
) -> NDArray[np.float64]:
    """(n,) relative surrogate errors of `episodes` of each task. Raises CheckpointError."""
    wanted = parts(Path(), episodes, first_seed, tasks)
    found = over_processes(console, "surrogate errors", wanted, workers, errors_of, source, calibration)
    return np.concatenate([np.asarray(errors, dtype=np.float64) for errors in found])
