"""`clwm bench drake`: the experts and the scenes in another simulator, from the same SDF and URDF."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.expansion.attempts import AttemptError
from clwm_evaluation.drake.process import DrakeError, DrakeProcess
from clwm_evaluation.drake.stage import STEP
from clwm_evaluation.drake.trials import FAR, DrakeTrial, DrakeTrials
from clwm_evaluation.plots import panels
from clwm_evaluation.report import Measured, Rows, measurement, percent
from clwm_evaluation.statistics import compare_pairs, success_rate
from clwm_sim.registry import RegistryError, scenes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@measurement(DrakeError, RegistryError, AttemptError)
def drake(
    console: PlainConsole,
    python: Annotated[
        str, typer.Option(envvar="CLWM_DRAKE_PYTHON", help="Python of an environment with `pip install drake`")
    ] = "drake-env/bin/python",
    scene: Annotated[str | None, typer.Option(help="one scene; all when left out")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="seeds of each goal, at most")] = 100,
    minutes: Annotated[float, typer.Option(min=0.0, help="after which no other trial is begun")] = 60.0,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
) -> Measured:
    """The scripted experts in Drake beside MuJoCo from the same starts, and how far masses, joint axes and pictures of
    both are apart.
    """
    began = time.monotonic()
    process = DrakeProcess(python)
    try:
        trials = DrakeTrials(process)
        goals = trials.goals(scene)
        alike = [trials.likeness(name, first_seed) for name in dict.fromkeys(name for name, _ in goals)]
        made: list[DrakeTrial] = []
        for trial in trials.series(scene, range(first_seed, first_seed + episodes)):
            made.append(trial)
            text = f"{trial.scene}, {trial.goal}, seed {trial.seed}: {trial.drake} in Drake, {trial.mujoco} in MuJoCo"
            console.print(text, highlight=False)
            if time.monotonic() - began > 60.0 * minutes:
                break
    finally:
        process.close()
    report = {
        "goals": [_row(name, kind, [it for it in made if (it.scene, it.kind) == (name, kind)]) for name, kind in goals],
        "all": _row("all", "", made),
        "likeness": alike,
        "drake_step_s": STEP,
        "far": FAR,
        "scenes_left_out": [] if scene is None else [name for name in scenes() if name != scene],
        "trials": [asdict(trial) for trial in made],
    }
    tables = page_tables(report)
    titles = ("Experts in Drake and in MuJoCo, from the same starts", "How far the two worlds are apart")
    shown = [rows.table(title) for rows, title in zip(tables, titles, strict=True)]
    return Measured(report, shown, partial(_figure, trials.sheet))


def _figure(sheet: NDArray[np.uint8]) -> Figure:
    figure, (axes,) = panels(1, 9.0, 6.2)
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title("head, left wrist, right wrist: MuJoCo above, Drake below")
    axes.axis("off")
    return figure


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Successes by goal, and the likeness of the scenes."""
    successes = [
        [
            f"{row['scene']} {row['goal']}".strip(),
            str(row["trials"]),
            *(f"{100 * row[world]['success_rate']:.0f} %" for world in ("drake", "mujoco")),
            percent(row["drake"]["wilson95"], 0),
            f"{row['pairs']['only_other']} and {row['pairs']['only_this']}",
        ]
        for row in [*report["goals"], report["all"]]
        if row["trials"]
    ]
    alike = [
        [
            row["scene"],
            f"{row['mass_kg']:.1g}",
            f"{row['axes']:.1g}",
            *(
                f"{100 * row['pictures'][camera]['share_far']:.1f} %"
                for camera in ("head", "left_wrist", "right_wrist")
            ),
        ]
        for row in report["likeness"]
    ]
    return [
        Rows(("goal", "starts", "Drake", "MuJoCo", "Drake, Wilson 95 %", "only MuJoCo, only Drake"), successes),
        Rows(("scene", "masses, kg", "joint axes, m", "head: pixels apart", "left wrist", "right wrist"), alike),
    ]


def _row(scene: str, kind: str, trials: Sequence[DrakeTrial]) -> dict[str, Any]:
    pairs = [(trial.drake == "achieved", trial.mujoco == "achieved") for trial in trials]
    return {
        "scene": scene,
        "goal": kind,
        "trials": len(trials),
        "drake": success_rate(sum(drake for drake, _ in pairs), len(pairs)),
        "mujoco": success_rate(sum(mujoco for _, mujoco in pairs), len(pairs)),
        "pairs": compare_pairs(pairs) if pairs else None,
    }
