"""How far predicted features miss what is then seen, in undisturbed episodes of the shipped mode."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import Part, Source, parts
from clwm_evaluation.virtual.chunk_sources import ModelSource
from clwm_evaluation.virtual.stack import Latency, VirtualStack
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Adaptive
from clwm_policy.model.language import SentenceEncoder
from clwm_sim.world import World

_LATENCY = Latency(0.08)


def errors_of(source: Source, part: Part, calibration: Calibration) -> list[float]:
    """Relative surrogate errors of all chunks of these episodes that had one. Raises CheckpointError."""
    policy, encoder, plan, _ = source.load()
    re_entry = Adaptive(calibration=calibration)
    engine = Engine(policy, SentenceEncoder().embed, re_entry, plan, time.perf_counter, evidence_fraction=0.0)
    world = World(part.task)
    model = ModelSource(encoder, engine, tuple(world.robot.cameras))
    with closing(VirtualStack(world, model, _LATENCY)) as stack:
        return [error for seed in part.seeds for error in stack.run(seed).surrogate_errors]


def measured_errors(
    source: Source, calibration: Calibration, episodes: int, first_seed: int, workers: int, console: PlainConsole
) -> NDArray[np.float64]:
    """(n,) relative surrogate errors of `episodes` of each task. Raises CheckpointError."""
    wanted = parts(Path(), episodes, first_seed)
    columns = (TextColumn("surrogate errors"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    found: dict[Part, Sequence[float]] = {}
    try:
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            bar = progress.add_task("", total=sum(len(part.seeds) for part in wanted))
            for done in as_completed(
                futures := {pool.submit(errors_of, source, part, calibration): part for part in wanted}
            ):
                part = futures[done]
                found[part] = done.result()
                progress.advance(bar, len(part.seeds))
                if not console.is_terminal:
                    console.print(f"{part.path.stem}: {len(found[part])} surrogate errors", highlight=False)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    # In the order asked for, not the one in which processes ended.
    return np.concatenate([np.asarray(found[part], dtype=np.float64) for part in wanted])
