"""`clwm reproduce`: make a shipped model from nothing, step by step; a second call goes on where the first ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.report import refuse
from clwm_evaluation.reproduce.pipeline import PipelineError, Planned, Record, Step
from clwm_evaluation.reproduce.steps import MODELS, Budget, steps_of

ENDS_WITHIN = 20.0  # s after which what ran beside a step is killed
STOPPED = 130  # exit code of what was interrupted
BUDGET = Budget()
_LOOK_EVERY = 1.0  # s


def reproduce(
    model: Annotated[str, typer.Argument(help=f"what to make: {', '.join(MODELS)}")] = MODELS[0],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan, and run nothing")] = False,
    out: Annotated[Path, typer.Option(help="where all of it goes; the files to ship are in its model/")] = Path(
        "out/reproduce"
    ),
    encoder_minutes: Annotated[float, typer.Option(min=0.01, help="of training")] = BUDGET.encoder,
    policy_minutes: Annotated[float, typer.Option(min=0.01, help="of training")] = BUDGET.policy,
    episodes: Annotated[int, typer.Option(min=1, help="of each goal and condition in the suites")] = BUDGET.suites,
    calibration_episodes: Annotated[int, typer.Option(min=1, help="of each task")] = BUDGET.calibration,
    workers: Annotated[int, typer.Option(min=1, help="processes that simulate")] = 2,
    only: Annotated[str | None, typer.Option(help="end after this step")] = None,
) -> None:
    """Encoder, policy, calibration, graphs and suites, from nothing to the files that are shipped.

    A step runs again only when its command or what it reads has changed. Ctrl-C ends it; every step goes on where it
    was.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    try:
        if model not in MODELS:
            raise PipelineError(f"model '{model}' cannot be reproduced; expected one of {', '.join(MODELS)}")
        budget = Budget(encoder_minutes, policy_minutes, episodes, calibration_episodes)
        steps = _until(steps_of(out / model, budget, workers), only)
        record = Record(out / model / "steps.json")
        planned = record.plan(steps)
        console.print(as_table(planned))
        if not dry_run:
            run_steps(steps, record, console)
    except PipelineError as error:
        refuse(console, error)


def run_steps(steps: Sequence[Step], record: Record, console: PlainConsole) -> None:
    """Run what is not done, in order. Raises PipelineError for a step that fails, typer.Exit when somebody stops it."""
    for step in steps:
        planned = record.plan(steps)
        own = next(it for it in planned if it.step is step)
        if own.state == "done":
            continue
        left = sum(it.left for it in planned)
        console.print(f"{step.name}: {step.what}; {_time(own.left)}, then {_time(left - own.left)} more")
        record.begin(step)
        began = time.monotonic()
        code = _run(step)
        record.add(step, time.monotonic() - began, is_ended=code == 0)
        if code in (STOPPED, -signal.SIGINT, -signal.SIGTERM):
            console.print("stopped; the same command goes on from here")
            raise typer.Exit(130)
        if code != 0:
            raise PipelineError(f"step '{step.name}' ended with {code}: {' '.join(step.command)}")
    console.print("all steps are done")


def as_table(planned: Sequence[Planned]) -> Table:
    """The plan for people."""
    table = Table(title="steps", caption=f"{_time(sum(it.left for it in planned))} to go, on two cores")
    for name in ("step", "what", "state", "takes"):
        table.add_column(name)
    for it in planned:
        table.add_row(it.step.name, it.step.what, it.state, "" if it.state == "done" else _time(it.minutes))
    return table


def _until(steps: list[Step], last: str | None) -> list[Step]:
    names = [step.name for step in steps]
    if last is not None and last not in names:
        raise PipelineError(f"step '{last}' does not exist; expected one of {', '.join(names)}")
    return steps if last is None else steps[: names.index(last) + 1]


def _run(step: Step) -> int:
    """The exit code of its command. Ctrl-C reaches it too, and it has the time that it needs to end."""
    beside = subprocess.Popen(step.beside, stdout=subprocess.DEVNULL) if step.beside else None
    is_stopped = False
    try:
        if beside is not None and step.awaits is not None:
            _await(beside, *step.awaits)
        with subprocess.Popen(step.command) as command:
            while True:
                try:
                    code = command.wait()
                    return STOPPED if is_stopped else code
                except KeyboardInterrupt:
                    # A terminal has told it as well. What is told to stop may call that a good end.
                    is_stopped = True
                    if not sys.stdin.isatty():
                        command.terminate()
    except KeyboardInterrupt:
        return STOPPED
    finally:
        if beside is not None:
            _end(beside)


def _await(beside: subprocess.Popen[bytes], folder: Path, files: int) -> None:
    while not folder.is_dir() or sum(it.suffix == ".npz" for it in folder.iterdir()) < files:
        if beside.poll() is not None:
            raise PipelineError(f"what fills {folder} ended with {beside.poll()}; look at what it said")
        time.sleep(_LOOK_EVERY)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _time(minutes: float) -> str:
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"
