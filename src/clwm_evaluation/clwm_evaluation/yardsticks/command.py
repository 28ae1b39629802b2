"""`clwm bench two-arm-lift`: a policy that learned to lift pots lifts robosuite's, of which it has seen nothing."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import PolicyDocument, read_policy_document
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.plots import panels
from clwm_evaluation.report import FirstSeed, Measured, TrialMinutes, measurement
from clwm_evaluation.suites.episodes import Ledger, Pictures, SuiteError
from clwm_evaluation.suites.summary import FAILURES_SHOWN
from clwm_evaluation.yardsticks.lift_world import TwoArmLiftWorld
from clwm_evaluation.yardsticks.robosuite_process import RobosuiteProcess, YardstickError
from clwm_evaluation.yardsticks.summary import page_tables, summary
from clwm_evaluation.yardsticks.trials import (
    AT_HOME,
    EXPERT,
    HOLD,
    LATENCY,
    POLICY,
    SAI,
    LiftTrials,
    check_taught,
    jobs,
)
from clwm_policy.model.checkpoint import CheckpointError
from clwm_sai_executor.config import FOLLOW
from clwm_sim.cameras import CAMERAS
from clwm_sim.goals.lift_pot import LiftPot
from clwm_sim.world import World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_SEED = 9_400_000
_FACTS = ("steps", "minutes", "episodes", "observations")  # of a training, that a report names


@measurement(YardstickError, CheckpointError, SuiteError)
def two_arm_lift(
    console: PlainConsole,
    python: Annotated[
        str, typer.Option(envvar="CLWM_ROBOSUITE_PYTHON", help="Python of an environment with robosuite")
    ] = "robosuite-env/bin/python",
    episodes: Annotated[int, typer.Option(min=0, help="seeds for the policy; 0: the controls alone")] = 100,
    control_episodes: Annotated[
        int, typer.Option(min=0, help="seeds for expert and holding arms, and for the policy in our own scene")
    ] = 20,
    follow: Annotated[
        str, typer.Option(help="channels of the policy's chunks that move the arms: joints, or poses of the hands")
    ] = FOLLOW[0],
    minutes: TrialMinutes = 60.0,
    out: Annotated[Path, typer.Option(help="keeps finished trials and pictures of the first failures")] = Path(
        "out/bench/two_arm_lift"
    ),
    *,
    source: Source,
    first_seed: FirstSeed = FIRST_SEED,
) -> Measured:
    """robosuite's TwoArmLift by a policy that knows the goal lift_pot and has seen nothing of it: zero-shot.

    The cameras are where ours are, the policy is told a sentence of that goal, and robosuite's own predicate counts.
    Beside it, from the same seeds, the scripted expert told the true state, arms that hold, and the policy in our own
    pot scene. An interrupted measurement goes on where it stopped.
    """
    began = time.monotonic()
    document = _document(source) if episodes else None
    process = RobosuiteProcess(python)
    try:
        made_with = {EXPERT: {"robosuite": process.version}, HOLD: {"robosuite": process.version}}
        made_with[AT_HOME] = _policy_facts(document, follow)
        made_with[POLICY] = made_with[HOLD] | _policy_facts(document, follow)
        trials = LiftTrials(process, source, follow)
        counts = {POLICY: episodes, AT_HOME: min(episodes, control_episodes)}
        asked = jobs(counts | dict.fromkeys((EXPERT, HOLD), control_episodes), first_seed)
        movers = dict.fromkeys(job.mover for job in asked)
        ledgers = {mover: Ledger(out / f"{mover}.jsonl", made_with[mover]) for mover in movers}
        kept = {job: outcome for ledger in ledgers.values() for job, outcome in ledger.read().items()}
        for job in asked:
            if job in kept:
                continue
            if time.monotonic() - began > 60.0 * minutes:
                console.print("time is over; the same command goes on from here")
                break
            outcome, seen = trials.run(job)
            failed = sum(it.mover == job.mover and not kept[it].succeeded for it in kept)
            if not outcome.succeeded and failed < FAILURES_SHOWN:
                _keep(out / f"{job.mover}_{job.seed}.jpg", seen)
            ledgers[job.mover].append(job, outcome)
            kept[job] = outcome
            text = f"{job.mover}, seed {job.seed}: {outcome.reason or 'lifted'} after {outcome.seconds:.1f} s"
            console.print(text, highlight=False)
        sheet = _sheet(trials.world, first_seed)
        trials.close()
    finally:
        process.close()
    report = summary({job: kept[job] for job in asked if job in kept}) | {
        "robosuite": process.version,
        "time_limit_s": LiftPot.timeout,
        "pot_mass_kg": round(process.about["pot_mass"], 4),
        "policy": _policy_facts(document, follow),
    }
    tables = [rows.table("robosuite's TwoArmLift, two Pandas") for rows in page_tables(report)]
    return Measured(report, tables, partial(_figure, sheet))


def _document(source: Source) -> PolicyDocument:
    path = source.policy or ModelFiles.load(source.model).policy
    document = read_policy_document(path.with_suffix(".json"))
    check_taught(document)
    return document


def _policy_facts(document: PolicyDocument | None, follow: str) -> dict[str, Any]:
    """What results of a policy depend on, and how long it was trained; empty without one."""
    if document is None:
        return {}
    facts = document.content["facts"]
    return {
        "weights": document.weights_hash[:16],
        "encoder": document.encoder_hash[:16],
        "facts": {name: facts[name] for name in _FACTS if name in facts},
        "mode": SAI,
        "follow": follow,
        "latency_ms": round(1e3 * LATENCY),
    }


def _keep(path: Path, seen: Pictures) -> None:
    if seen.strip is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(seen.strip)


def _sheet(world: TwoArmLiftWorld, seed: int) -> NDArray[np.uint8]:
    """RGB (height, width, 3): what all cameras see first in an episode of ours, above robosuite's of the same seed."""
    ours = World("pot:lift_pot", seed=seed)
    world.reset(seed)
    rows = [np.hstack([it.render(camera) for camera in CAMERAS]) for it in (ours, world)]
    ours.close()
    return np.vstack(rows)


def _figure(sheet: NDArray[np.uint8]) -> Figure:
    figure, (axes,) = panels(1, 9.0, 6.2)
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title("head, left wrist, right wrist: ours above, robosuite below")
    axes.axis("off")
    return figure
