"""`clwm bench seam`: does the motion show where one chunk ends and the next begins?"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from clwm_common.actions import ROW_DT
from clwm_common.kinematics import DualArmKinematics
from clwm_common.messages import ActionChunk
from clwm_common.robot import RobotDescription
from clwm_embodichain.bench_report import (
    EncoderFolder,
    JsonFile,
    ModelName,
    PngFile,
    PolicyFile,
    progress,
    provenance,
    refuse,
    write_json,
    write_png,
)
from clwm_embodichain.evaluation import EvaluationError, EvaluationSettings, build_stack, check_settings
from clwm_embodichain.seam_measure import Seam, seam_of, summarise
from clwm_sai_executor.splice import Path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_SEED = 6_000_000  # apart from those of training, calibration and evaluation
TASKS = ("place_block", "lift_tray")
_NAMES = {"spliced": "spliced", "cut_over": "cut over at once"}


def seam(
    model: ModelName = "nano",
    policy: PolicyFile = None,
    encoder: EncoderFolder = None,
    episodes: Annotated[int, typer.Option(min=1, help="per task")] = 10,
    first_seed: Annotated[int, typer.Option(min=0)] = FIRST_SEED,
    latency: Annotated[str, typer.Option(help="from pictures to chunk: ms, or 'measured'")] = "100",
    control: Annotated[str, typer.Option(help="policy, or expert for the scripted one")] = "policy",
    json_file: JsonFile = None,
    png_file: PngFile = None,
) -> None:
    """Jump of the velocity at the seams of chunks, against that from row to row within them.

    In the same run: what the jump would have been, had each chunk been sent as it came, without a splice.
    """
    console = Console()
    try:
        settings = [
            EvaluationSettings.of_model(
                model,
                task=task,
                policy=policy,
                encoder=encoder,
                episodes=episodes,
                first_seed=first_seed,
                latency=latency,
                control=control,
            )
            for task in TASKS
        ]
        hashes = [check_settings(one) for one in settings][0]
    except EvaluationError as error:
        refuse(console, error)
    with progress(console, "episodes", len(TASKS) * episodes) as advance:
        found = {one.task: run_task(one, advance) for one in settings}
    largest = float(RobotDescription.load("dual_fr3_mujoco").limit("acceleration").max()) * ROW_DT
    report = {
        "tasks": {task: summarise(seams, largest) for task, seams in found.items()},
        "all": summarise([seam for seams in found.values() for seam in seams], largest),
        "episodes_per_task": episodes,
        "latency": latency,
        "control": control,
        **hashes,
        **provenance("seam", first_seed),
    }
    console.print(as_table(report))
    write_json(console, report, json_file)
    write_png(console, lambda: draw(found, largest), png_file)


def run_task(settings: EvaluationSettings, advance: Any) -> list[Seam]:
    """The seams of all episodes of one task: chunks that came in time while the one before was moving the arms."""
    seams: list[Seam] = []
    poses = DualArmKinematics(RobotDescription.load("dual_fr3_mujoco")).poses

    def on_chunk(now: float, before: Path, after: Path, chunk: ActionChunk) -> None:
        seams.append(seam_of(now, before, after, chunk, poses))

    with closing(build_stack(settings)) as stack:
        stack.on_seam = on_chunk
        for seed in settings.seeds:
            stack.run(seed)
            advance(1, f"{settings.task}, {len(seams)} seams")
    return seams


def as_table(report: dict[str, Any]) -> Table:
    """Medians for people; the JSON file has all of it."""
    table = Table(title=r"change of the velocity from row to row \[rad/s], largest joint")
    for column in ("task", "seams", "", "seam p50", "seam max", "within p50", "ratio", "above limit", "strayed"):
        table.add_column(column, justify="left" if column in ("task", "") else "right")
    for task, part in {**report["tasks"], "all": report["all"]}.items():
        for index, (name, text) in enumerate(_NAMES.items()):
            one = part[name]
            if one["ratio"] is not None:
                table.add_row(
                    "" if index else task,
                    "" if index else str(part["seams"]),
                    text,
                    f"{one['seam_jump']['p50']:.3f}",
                    f"{one['seam_jump']['max']:.3f}",
                    f"{one['inner_jump']['p50']:.3f}",
                    f"{one['ratio']:.2f}",
                    str(one["above_limit"]),
                    "" if index else f"{part['strayed_mm']['p50']:.0f} mm",
                )
    return table


def draw(found: dict[str, list[Seam]], largest: float) -> Figure:
    """Cumulative shares of seams and of rows within chunks over their jumps, one panel per task."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(found), 4.0), layout="constrained")
    for axes, (task, seams) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        curves = {
            "rows within chunks": [jump for seam in seams for jump in seam.inner],
            "seams, spliced": [seam.spliced for seam in seams],
            "seams, cut over at once": [seam.cut_over for seam in seams],
        }
        for label, jumps in curves.items():
            axes.plot(np.sort(jumps), np.arange(1, len(jumps) + 1) / max(len(jumps), 1), label=label)
        axes.axvline(largest, color="0.4", linestyle=":", label="acceleration limit")
        axes.set(title=task, xlabel="change of velocity from row to row [rad/s]", ylabel="share at most so large")
        axes.set_xscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
