"""`clwm bench seam`: does the motion show where one chunk ends and the next begins?"""

from __future__ import annotations

import functools
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from clwm_common.actions import ROW_DT
from clwm_common.messages import ActionChunk, DualArmState
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.measurements.seam_measure import CUT_OVER, NO_PREFIX, PREFIX, SPLICED, Seam, seam_of, summarise
from clwm_evaluation.report import (
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
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, build_stack, check_settings
from clwm_evaluation.virtual.chunk_sources import Answer, ModelSource, Pictures
from clwm_policy.errors import EngineError
from clwm_sai_executor.path.splice import Path
from clwm_sim.world import World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_SEED = 6_000_000  # apart from those of training, calibration and evaluation
TASKS = ("place_block", "lift_tray")
NAMES = {SPLICED: "spliced", PREFIX: "joined", NO_PREFIX: "no prefix", CUT_OVER: "cut over"}


class PrefixSource(ModelSource):
    """A ModelSource that also makes every speculated chunk anew, with its committed prefix and with its first row only.

    Same observation, memory and noise, from the start. made: takes the rows (16, 30) by name, by the id of the chunk.
    """

    def __init__(self, made: dict[int, dict[str, NDArray[np.float32]]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made = made

    def begin(self, world: World) -> None:
        self._made.clear()
        super().begin(world)

    def answer(self, stamp: float, state: DualArmState, pictures: Pictures) -> Answer:
        # Nothing is speculated for arms at rest, and they have no seam.
        with suppress(EngineError):
            trial = self._engine.trial(self._frame(stamp, pictures()), state)
            rows = {PREFIX: trial.rows(), NO_PREFIX: trial.from_start(committed=1)}
            self._made[self._engine.pending.chunk_id] = rows
        return super().answer(stamp, state, pictures)


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

    In the same run, from the same observations, memory and noise: the policy's rows joined to the committed ones;
    the same from a policy that is not told which rows are committed; and cut over at once, as by a controller that is
    handed each chunk as it comes.
    """
    console = PlainConsole()
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
    made: dict[int, dict[str, NDArray[np.float32]]] = {}
    poses = DualArmKinematics(RobotDescription.load("dual_fr3_mujoco")).poses

    def on_chunk(now: float, before: Path, after: Path, chunk: ActionChunk) -> None:
        seams.append(seam_of(now, before, after, chunk, poses, made.get(chunk.chunk_id)))

    with closing(build_stack(settings, model_source=functools.partial(PrefixSource, made))) as stack:
        stack.on_seam = on_chunk
        for seed in settings.seeds:
            stack.run(seed)
            advance(1, f"{settings.task}, {len(seams)} seams")
    return seams


def as_table(report: dict[str, Any]) -> Table:
    """Medians for people; the JSON file has all of it."""
    strayed = report["all"]["strayed_mm"]["p50"]
    caption = "seam, within: medians; over: seams above the acceleration limit"
    if strayed is not None:
        caption += f"\nspliced rows stray {strayed:.0f} mm from the policy's, median over chunks"
    table = Table(title=r"jump of the velocity from row to row \[rad/s], largest joint", caption=caption)
    for column in ("task", "", "seam", "max", "within", "ratio", "over"):
        table.add_column(column, justify="left" if column in ("task", "") else "right", no_wrap=True)
    for task, part in {**report["tasks"], "all": report["all"]}.items():
        for index, (name, text) in enumerate(NAMES.items()):
            one = part.get(name)
            if one is not None and one["ratio"] is not None:
                table.add_row(
                    "" if index else f"{task}, {part['seams']} seams",
                    text,
                    f"{one['seam_jump']['p50']:.3f}",
                    f"{one['seam_jump']['max']:.3f}",
                    f"{one['inner_jump']['p50']:.3f}",
                    f"{one['ratio']:.2f}",
                    str(one["above_limit"]),
                )
        table.add_section()
    return table


def draw(found: dict[str, list[Seam]], largest: float) -> Figure:
    """Cumulative shares of seams and of rows within chunks over their jumps, one panel per task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(found), 4.0), layout="constrained")
    for axes, (task, seams) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        curves = {"rows within chunks": [jump for seam in seams for jump in seam.ways[SPLICED].inner]}
        for name, text in NAMES.items():
            curves[f"seams, {text}"] = [seam.ways[name].seam for seam in seams if name in seam.ways]
        for label, jumps in curves.items():
            if not jumps:
                continue
            axes.plot(np.sort(jumps), np.arange(1, len(jumps) + 1) / max(len(jumps), 1), label=label)
        axes.axvline(largest, color="0.4", linestyle=":", label="acceleration limit")
        axes.set(title=task, xlabel="change of velocity from row to row [rad/s]", ylabel="share at most so large")
        axes.set_xscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
