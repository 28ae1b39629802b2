"""`clwm calibrate`: the map that adaptive re-entry trusts, measured on the shipped weights and saved beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from clwm_common.files.policy_document import read_policy_document
from clwm_common.provenance import commit, machine
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.surrogate_errors import measured_errors
from clwm_evaluation.calibration.trial_recording import TASKS, KeptTrials, Source, recorded_trials
from clwm_evaluation.calibration.trials import Trials, TrialsError
from clwm_evaluation.report import Workers, refuse, with_options
from clwm_evaluation.suites.conditions import NOMINAL_CONDITION, asks_for
from clwm_evaluation.suites.episodes import task_of
from clwm_evaluation.suites.sentences import taught_goals
from clwm_policy.engine.calibration import (
    COVERAGE,
    FILE_NAME,
    Calibration,
    CalibrationError,
    fit_surrogate_error_limit,
    fit_table,
    save_calibration,
)
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.checkpoint import CheckpointError, Policy
from clwm_sim.shipped_tasks import UnknownTask, task_named

TAUGHT = "taught"
FIRST_SEED = 4_000_000  # apart from training, evaluation and what the calibration is then tested on


def fit_calibration(
    trials: Trials, policy: Policy, plan: Plan, coverage: float = COVERAGE, facts: dict[str, Any] | None = None
) -> Calibration:
    """The table of these trials, nominal and disturbed together. Raises CalibrationError when there are too few."""
    disagreement, deviations = trials.disagreement, trials.deviations()
    edges, bounds = fit_table(disagreement, deviations, coverage)
    ranks = np.corrcoef(_ranks(disagreement), _ranks(deviations[:, -1]))[0, 1]
    return Calibration(
        plan=plan,
        coverage=coverage,
        edges=edges,
        bounds=bounds,
        policy_hash=policy.policy_hash,
        encoder_hash=policy.encoder_hash,
        facts={
            "trials": len(trials),
            "disturbed": int(trials.moved.sum()),
            "episodes": len(set(zip(trials.task, trials.seed, strict=True))),
            "tasks": sorted(set(trials.task.tolist())),
            "rank_correlation": round(float(ranks), 4),
            **(facts or {}),
        },
    )


def with_alarm_limit(calibration: Calibration, errors: NDArray[np.float64]) -> Calibration:
    """The same table, and the limit of these surrogate errors (n,). Raises CalibrationError when they are too few."""
    limit = fit_surrogate_error_limit(errors)
    facts = {**calibration.facts, "surrogate_errors": len(errors), "surrogate_error_median": float(np.median(errors))}
    return replace(calibration, surrogate_error_limit=limit, facts=facts)


@with_options
def calibrate(
    source: Source,
    episodes: Annotated[int, typer.Option(min=1, help="per task")] = 200,
    first_seed: Annotated[int, typer.Option(min=0)] = FIRST_SEED,
    coverage: Annotated[float, typer.Option(help="how often the stated deviation is to hold")] = COVERAGE,
    alarm_episodes: Annotated[
        int, typer.Option(min=0, help="per task, for the limit of the out-of-distribution alarm; 0: no alarm")
    ] = 10,
    workers: Workers = 2,
    tasks: Annotated[
        str, typer.Option(help="with commas; taught: those of every goal that the policy was trained for")
    ] = ",".join(TASKS),
    trials_folder: KeptTrials = None,
) -> None:
    """Measure how far speculated chunks stray, undisturbed and with an object moved 3 cm, and save the map.

    Then a few undisturbed episodes more, for the surrogate error above which the out-of-distribution alarm counts.
    """
    console = PlainConsole()
    try:
        loaded, _, plan, checkpoint = source.load()
        names = _taught(checkpoint) if tasks == TAUGHT else [task_named(name.strip()).name for name in tasks.split(",")]
        trials = recorded_trials(source, episodes, first_seed, workers, console, trials_folder, names)
        facts = {"first_seed": first_seed, "machine": machine(), "commit": commit()}
        calibration = fit_calibration(trials, loaded, plan, coverage, facts)
        if alarm_episodes:
            errors = measured_errors(source, calibration, alarm_episodes, first_seed, workers, console, names)
            calibration = with_alarm_limit(calibration, errors)
    except (CheckpointError, CalibrationError, TrialsError, UnknownTask) as error:
        refuse(console, error)
    path = checkpoint.with_name(FILE_NAME)
    save_calibration(path, calibration)
    console.print(as_table(calibration))
    if calibration.surrogate_error_limit is not None:
        console.print(f"out of distribution above a surrogate error of {calibration.surrogate_error_limit:.4f}")
    console.print(f"calibration: {path}", soft_wrap=True)


def _taught(checkpoint: Path) -> list[str]:
    """Tasks of the goals that a policy was trained for, but those that consist of waiting. Raises CheckpointError."""
    goals = taught_goals(read_policy_document(checkpoint.with_suffix(".json")).inputs)
    names = [task_of(str(goal), NOMINAL_CONDITION) for goal in goals if asks_for("looks", goal.kind)]
    if not names:
        raise CheckpointError(f"{checkpoint} was trained for no goal that is known here; name --tasks")
    return names


def as_table(calibration: Calibration) -> Table:
    """The map for people, in millimetres of tool motion."""
    table = Table(title=f"deviation in mm that {calibration.coverage:.0%} of chunks keep, by where they are resumed")
    table.add_column("disagreement up to", justify="right")
    for point in calibration.points:
        table.add_column(calibration.plan.name(point), justify="right")
    for edge, bounds in zip(calibration.edges, calibration.bounds, strict=True):
        table.add_row(f"{1e3 * edge:.2f}", *(f"{1e3 * bound:.2f}" for bound in bounds))
    table.add_row("more", *("from the start" for _ in calibration.points))
    return table


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.argsort(np.argsort(values)).astype(np.float64)
