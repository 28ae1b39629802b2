"""`clwm bench drake`: experts and the policy in another simulator, from the same SDF and URDF."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.expansion.attempts import AttemptError
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.drake.expert_trials import FAR, ExpertTrials
from clwm_evaluation.drake.orders import CONTROLS, EXPERT, POLICY, Ledger, Plan
from clwm_evaluation.drake.process import DrakeError, DrakeProcess
from clwm_evaluation.drake.stage import STEP
from clwm_evaluation.drake.summary import page_tables, summary
from clwm_evaluation.plots import panels
from clwm_evaluation.report import FirstSeed, Measured, TrialMinutes, measurement
from clwm_policy.model.checkpoint import CheckpointError
from clwm_sim.registry import RegistryError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_SEED = 9_300_000
_TITLES = (
    "Experts in Drake and in MuJoCo, from the same starts",
    "The policy in both, and its controls",
    "How far the two worlds are apart",
)


@measurement(DrakeError, RegistryError, AttemptError, CheckpointError)
def drake(
    console: PlainConsole,
    python: Annotated[
        str, typer.Option(envvar="CLWM_DRAKE_PYTHON", help="Python of an environment with `pip install drake`")
    ] = "drake-env/bin/python",
    scene: Annotated[str | None, typer.Option(help="of the experts; all when left out")] = None,
    episodes: Annotated[int, typer.Option(min=0, help="seeds of each goal for its expert")] = 13,
    policy_episodes: Annotated[int, typer.Option(min=0, help="seeds of both tasks for the policy")] = 50,
    control_episodes: Annotated[
        int, typer.Option(min=0, help="of them, told the other task, and without a policy")
    ] = 5,
    minutes: TrialMinutes = 60.0,
    ledger: Annotated[Path, typer.Option(help="keeps finished trials, which are not made again")] = Path(
        "out/bench/drake.jsonl"
    ),
    *,
    source: Source,
    first_seed: FirstSeed = FIRST_SEED,
) -> Measured:
    """Scripted experts and the policy in Drake beside MuJoCo from the same starts, and how far masses, joint axes and
    pictures of both are apart.

    The policy is as shipped, under a virtual clock. Its controls are a sentence of the other task, and arms that hold.
    An interrupted measurement goes on where it stopped.
    """
    began = time.monotonic()
    plan = Plan(scene, first_seed, episodes, policy_episodes, control_episodes)
    process = DrakeProcess(python)
    try:
        experts = ExpertTrials(process)
        likeness = [experts.likeness(name, first_seed) for name in dict.fromkeys(name for name, _ in plan.goals())]
        policy = _policy(process, source) if policy_episodes or control_episodes else None
        with_policy = "" if policy is None else f"{process.version}; {policy.made_with}"
        made_with = {EXPERT: process.version, **dict.fromkeys((POLICY, *CONTROLS), with_policy)}
        book = Ledger(ledger)
        for order in plan.orders():
            # Read anew each time: several may work on one ledger.
            if order in book.read(made_with):
                continue
            if time.monotonic() - began > 60.0 * minutes:
                console.print("time is over; the same command goes on from here")
                break
            trial = (experts if order.mover == EXPERT else policy).run(order)
            book.append(trial, made_with)
            text = f"{order.mover}, {order.scene}, {trial.goal}, seed {order.seed}: {trial.drake} in Drake, "
            console.print(f"{text}{trial.mujoco} in MuJoCo", highlight=False)
    finally:
        process.close()
    done = book.read(made_with)
    made = [done[order] for order in plan.orders() if order in done]
    report = summary(made) | {
        "likeness": likeness,
        "far": FAR,
        "drake_step_s": STEP,
        "drake": process.version,
        "model": source.model,
    }
    tables = [rows.table(title) for rows, title in zip(page_tables(report), _TITLES, strict=True)]
    return Measured(report, tables, partial(_figure, experts.sheet))


def _policy(process: DrakeProcess, source: Source) -> Any:
    # Here, since torch takes seconds to import and --help must not wait for it.
    from clwm_evaluation.drake.policy_trials import PolicyTrials

    return PolicyTrials(process, source)


def _figure(sheet: NDArray[np.uint8]) -> Figure:
    figure, (axes,) = panels(1, 9.0, 6.2)
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title("head, left wrist, right wrist: MuJoCo above, Drake below")
    axes.axis("off")
    return figure
