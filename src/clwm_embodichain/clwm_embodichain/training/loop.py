"""The loop of every training: steps until the budget is used, a progress bar, curves, checkpoints, a clean Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from clwm_common.terminal.console import PlainConsole, description_column
from clwm_embodichain.training.curves import Curves
from clwm_embodichain.training.states import TrainingStates

_RECORD_EVERY = 20  # steps
_IN_CURVES_ONLY = ("gradient_norm", "rate", "minutes", "step")


class Training(Protocol):
    """`step()` until `progress` is 1; see `Trainer`, which is one."""

    steps_done: int
    seconds: float

    @property
    def progress(self) -> float: ...

    def step(self) -> dict[str, float] | None: ...

    def resume(self, state: dict[str, Any]) -> None: ...


def run_training(
    trainer: Training,
    curves: Curves,
    keep: Callable[[], None],
    keep_minutes: float,
    console: PlainConsole,
    known: Callable[[], dict[str, float]] = dict,
) -> bool:
    """Step until the budget is used or somebody presses Ctrl-C, which lets the step in flight finish; False then.

    keep is called every `keep_minutes` of training and at the end, however that comes; known adds to the curves, which
    get the means of every 20 steps. A second Ctrl-C raises KeyboardInterrupt. What a step raises ends the training, and
    nothing more is kept.
    """
    kept_at, recent = trainer.seconds, []
    share = TextColumn("{task.percentage:.1f} %")
    columns = (description_column(), BarColumn(20), share, TimeElapsedColumn(), TimeRemainingColumn())
    with (
        _asked_to_stop() as is_asked,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("training", total=1.0, completed=trainer.progress)
        while trainer.progress < 1.0 and not is_asked():
            losses = trainer.step()
            if losses is None:
                console.print(f"after step {trainer.steps_done}: a step left out, its loss or gradient is not finite")
            else:
                recent.append(losses)
            progress.update(bar, completed=trainer.progress)
            if len(recent) == _RECORD_EVERY:
                record = means(recent)
                record |= {"minutes": trainer.seconds / 60, "step": trainer.steps_done} | known()
                curves.append(record)
                recent = []
                text = ", ".join(f"{k} {v:.3g}" for k, v in record.items() if k not in _IN_CURVES_ONLY)
                progress.update(bar, description=text)
                if not console.is_terminal:
                    console.print(f"step {trainer.steps_done}: {text}", highlight=False, soft_wrap=True)
            if trainer.seconds - kept_at >= 60.0 * keep_minutes:
                keep()
                kept_at = trainer.seconds
        stopped = is_asked()
    if stopped:
        console.print("stopped; the same command goes on from here")
    keep()
    return not stopped


def means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each value over the steps that have it: not every step meets every goal."""
    names = dict.fromkeys(name for each in found for name in each)
    return {name: float(np.mean([each[name] for each in found if name in each])) for name in names}


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    asked = False

    def on_signal(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume(states: TrainingStates, trainer: Training, console: PlainConsole) -> None:
    """Go on from the newest readable state, naming those that were skipped. Raises StateError when none is."""
    resumed = states.resume(trainer.resume)
    for skipped in resumed.skipped:
        console.marked("skipped:", "yellow", skipped)
    if resumed.path is not None:
        minutes = trainer.seconds / 60
        console.print(f"resumed {resumed.path.name} at step {trainer.steps_done}, {minutes:.1f} minutes")
