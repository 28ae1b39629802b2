"""`clwm bench seam`: does the motion show where one chunk ends and the next begins?

As executed, as the policy made it, and had it not known what was committed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS, JOINTS, ROW_DT
from clwm_common.messages import ActionChunk, DualArmState
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.plots import panels
from clwm_evaluation.report import Measured, Rows, measurement
from clwm_evaluation.statistics import percentiles
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, build_stack, check_settings
from clwm_evaluation.virtual.chunk_sources import Answer, ModelSource, Pictures
from clwm_policy.errors import EngineError
from clwm_sai_executor.path.splice import Path, sample
from clwm_sim.world import World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
FIRST_SEED = 6_000_000  # apart from those of training, calibration and evaluation
SPLICED, CUT_OVER, PREFIX, NO_PREFIX = "spliced", "cut_over", "prefix", "no_prefix"
WAYS = {
    SPLICED: "spliced, as sent",
    PREFIX: "joined to the committed rows",
    NO_PREFIX: "the same, made without a prefix",
    CUT_OVER: "cut over at once",
}


@measurement(EvaluationError)
def seam(
    console: PlainConsole,
    source: Source,
    episodes: Annotated[int, typer.Option(min=1, help="per task")] = 10,
    first_seed: Annotated[int, typer.Option(min=0)] = FIRST_SEED,
    latency: Annotated[str, typer.Option(help="from pictures to chunk: ms, or 'measured'")] = "100",
    control: Annotated[str, typer.Option(help="policy, or expert for the scripted one")] = "policy",
) -> Measured:
    """Jump of the velocity at the seams of chunks, against that from row to row within them.

    In the same run, from the same observations, memory and noise: the policy's rows joined to the committed ones;
    the same from a policy that is not told which rows are committed; and cut over at once, as by a controller that is
    handed each chunk as it comes.
    """
    settings = [
        EvaluationSettings.of_model(
            source.model,
            task=task,
            policy=source.policy,
            encoder=source.encoder,
            episodes=episodes,
            first_seed=first_seed,
            latency=latency,
            control=control,
        )
        for task in ("place_block", "lift_tray")
    ]
    hashes = [check_settings(one) for one in settings][0]
    with progress(console, "episodes", len(settings) * episodes) as advance:
        found = {one.task: run_task(one, advance) for one in settings}
    largest = float(RobotDescription.load("dual_fr3_mujoco").limit("acceleration").max()) * ROW_DT
    report = {
        "tasks": {task: summarise(seams, largest) for task, seams in found.items()},
        "all": summarise([seam for seams in found.values() for seam in seams], largest),
        "episodes_per_task": episodes,
        "latency": latency,
        "control": control,
        **hashes,
    }
    caption = "medians; above the limit: of acceleration"
    if (strayed := report["all"]["strayed_mm"]["p50"]) is not None:
        caption += f"\nspliced rows stray {strayed:.0f} mm from the policy's, median over chunks"
    title = "jump of the velocity from row to row, largest joint"
    return Measured(report, [page_tables(report)[0].table(title, 2, caption)], lambda: draw(found, largest))


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


@dataclass(frozen=True)
class Jumps:
    """Changes of the mean velocity from one row to the next [rad/s], of the joint that jumps most: where the chunk
    begins to matter, and at every later row of it."""

    seam: float
    inner: tuple[float, ...]


@dataclass(frozen=True)
class Seam:
    """One seam, in several ways.

    ways: `spliced`, what was sent. `cut_over`, where a controller would have gone from its motion straight to the first
    row of the chunk. Others: rows made for the same instant, behind the rows that were committed, without a splice.
    strayed, strayed_tool: how far the rows that were sent are from those of the policy, at most [rad], and the tool
    centre points with them [m].
    """

    ways: Mapping[str, Jumps]
    strayed: float = 0.0
    strayed_tool: float = 0.0


def seam_of(
    now: float,
    before: Path,
    after: Path,
    chunk: ActionChunk,
    poses: Callable[[Array], Array],
    others: Mapping[str, NDArray[np.float32]] | None = None,
) -> Seam:
    """The seam of a chunk that came at `now` while `before` was under way and made it `after`.

    poses: joints (14,) -> poses (2, 7) of the tool centre points, by kinematics. others: rows (16, 30) for the same
    request by their names. A controller passes through the knots that it is sent, so its motion from row to row is that
    of the knots.
    """
    follows = after.last_row - (CHUNK_ROWS - chunk.prefix_rows) - after.first
    knots = after.positions[max(0, follows - 1) : after.last_row - after.first + 1]
    ways = {SPLICED: _jumps(np.diff(knots, axis=0) / after.dt)}
    # Without a splice the controller drops what it did and leads from where the arms are to row 0, one row from now.
    position, velocity, _ = sample(before, now)
    rows = np.concatenate([position[None], chunk.rows[:, JOINTS].astype(np.float64)])
    ways[CUT_OVER] = _jumps(np.concatenate([velocity[None], np.diff(rows, axis=0) / chunk.dt]))
    sent, asked = knots[-(CHUNK_ROWS - chunk.prefix_rows) :], rows[1 + chunk.prefix_rows :]
    committed = knots[: len(knots) - len(sent)]
    for name, other in (others or {}).items():
        free = other[chunk.prefix_rows :, JOINTS].astype(np.float64)
        ways[name] = _jumps(np.diff(np.concatenate([committed, free]), axis=0) / chunk.dt)
    tools = [poses(one)[:, :3] - poses(other)[:, :3] for one, other in zip(sent, asked, strict=True)]
    strayed, strayed_tool = np.abs(sent - asked).max(), np.linalg.norm(tools, axis=-1).max()
    return Seam(ways, float(strayed), float(strayed_tool))


def summarise(seams: Iterable[Seam], largest: float) -> dict[str, Any]:
    """All ways side by side. largest: jump [rad/s] that the acceleration limit allows from one row to the next.

    ratio: median at the seams against the median within chunks; None without seams. strayed_mrad, strayed_mm: of each
    chunk, how far its rows and the tool centre points were moved, at most.
    """
    seams = list(seams)
    report: dict[str, Any] = {
        "seams": len(seams),
        "limit": largest,
        "strayed_mrad": percentiles(1e3 * seam.strayed for seam in seams),
        "strayed_mm": percentiles(1e3 * seam.strayed_tool for seam in seams),
    }
    for name in (SPLICED, CUT_OVER, PREFIX, NO_PREFIX):
        found = [seam.ways[name] for seam in seams if name in seam.ways]
        if not found and name in (PREFIX, NO_PREFIX):
            continue
        at_seams = percentiles(jumps.seam for jumps in found)
        within = percentiles(jump for jumps in found for jump in jumps.inner)
        median = within["p50"]
        report[name] = {
            "seams": len(found),
            "seam_jump": at_seams,
            "inner_jump": within,
            "ratio": at_seams["p50"] / median if median else None,
            "above_limit": sum(jumps.seam > largest * (1.0 + 1e-6) for jumps in found),
        }
    return report


def _jumps(velocities: Array) -> Jumps:
    first, *later = np.abs(np.diff(velocities, axis=0)).max(axis=1).tolist()
    return Jumps(first, tuple(later))


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Every way of following on, by task; medians."""
    header = ["task", "", "seams", "velocity jump at the seam rad/s", "within the chunk", "ratio", "above the limit"]
    rows = []
    for task, found in (*report["tasks"].items(), ("all", report["all"])):
        for name, title in WAYS.items():
            way = found.get(name)
            if way is not None and way["ratio"] is not None:
                jumps = f"{way['seam_jump']['p50']:.3f}", f"{way['inner_jump']['p50']:.3f}", f"{way['ratio']:.2f}"
                largest = f"{way['seam_jump']['max']:.3f}"
                rows.append([task, title, str(found["seams"]), *jumps, str(way["above_limit"]), largest])
    return [Rows([*header, "largest at the seam"], rows, on_page=7)]


def draw(found: dict[str, list[Seam]], largest: float) -> Figure:
    """Cumulative shares of seams and of rows within chunks over their jumps, one panel per task."""
    figure, columns = panels(len(found), 5.5 * len(found), 4.0)
    for axes, (task, seams) in zip(columns, found.items(), strict=True):
        curves = {"rows within chunks": [jump for seam in seams for jump in seam.ways[SPLICED].inner]}
        for name, text in WAYS.items():
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
