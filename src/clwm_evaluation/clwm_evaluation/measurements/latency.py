"""`clwm bench latency`: re-entry policies side by side in real time, on the four processes over DDS."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from clwm_bringup import graph, log_lines
from clwm_bringup.supervisor import Line, Supervisor
from clwm_common.actions import ROW_DT
from clwm_common.files.model_files import ModelFiles, output_folder
from clwm_common.messages import Mode
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import TASKS
from clwm_evaluation.plots import dots_and_box, panels
from clwm_evaluation.report import Measured, ModelName, Rows, measurement, text
from clwm_evaluation.statistics import mean, percentiles, quantiles, ratio_of_medians, rounded, wilson95
from clwm_operator.demo.course import START_TIMEOUT, Demo, EpisodePlan
from clwm_operator.demo.report import idle_time
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Chunk, Episode, Recording
from clwm_policy.engine.re_entry import ReEntryError, parse_re_entry, point_name
from clwm_policy.model.sizes import EXECUTED_ROWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODES = ("sequential", "fixed:0.5", "adaptive")
FIRST_SEED = 6_000_000
TURNS_MAX = 1000  # a stack that executes nothing must not be asked for ever
COMMITTED_TAIL = (16 - EXECUTED_ROWS) * ROW_DT  # s
WARM_UP = 2  # chunks of a turn that are not measured: the first come from an engine that has just been loaded
SPLIT = ("encode", "transport", "wait", "context", "memory", "finish", "send")
_PARTS = ("#ccb974", "#bbbbbb", "#555555", "#e8a87c", "#dd8452", "#c44e52", "#8172b3")


@measurement(ReEntryError)
def latency(
    console: PlainConsole,
    chunks: Annotated[int, typer.Option(min=1, help="measured of each mode, at least")] = 200,
    modes: Annotated[list[str] | None, typer.Option("--mode", help=f"repeat it; default: {', '.join(MODES)}")] = None,
    backend: Annotated[str, typer.Option(help="what runs the policy; empty takes the model's")] = "",
    model: ModelName = "nano",
    first_seed: Annotated[int, typer.Option(min=0, help="of the first turn; the same for every mode")] = FIRST_SEED,
    logs: Annotated[Path | None, typer.Option(help="folder for the nodes' logs; default out/bench/latency")] = None,
) -> Measured:
    """Blocking latency of sequential, fixed and adaptive re-entry, in real time through ROS, on the same seeds.

    The modes take turns of two episodes on one running stack: between turns the policy node is configured anew. What
    else the machine does thus falls on all of them alike. 200 chunks of three modes take about a quarter of an hour.
    """
    names = [parse_re_entry(mode).name for mode in modes or MODES]
    if len(set(names)) != len(names):
        raise ReEntryError(f"modes {', '.join(names)}; expected every one once")
    backends = (backend,) if backend else ()
    options = graph.StackOptions(model=model, seed=first_seed, sai=names[0], backends=backends)
    started = time.monotonic()
    with progress(console, "chunks", chunks * len(names)) as advance:
        try:
            turns = take_turns(options, names, chunks, logs or output_folder() / "bench" / "latency", advance)
        except StackError as error:
            console.error(error)
            raise typer.Exit(1) from None
    report = {
        **measure(turns),
        "model": model,
        "backends": backends or ModelFiles.load(model).backends,
        "seconds": round(time.monotonic() - started, 1),
        "committed_tail_ms": round(1e3 * COMMITTED_TAIL, 3),
    }
    return Measured(report, [as_table(report)], lambda: draw_latency(turns, report, COMMITTED_TAIL))


def take_turns(
    options: graph.StackOptions,
    modes: Sequence[str],
    chunks: int,
    logs: Path,
    on_turn: Callable[[int, str], None],
) -> list[Turn]:
    """Bring the stack up and let the modes take turns until each has `chunks` measured ones. Raises StackError.

    on_turn: called after each turn with the chunks that it adds to what was wanted, and its story.
    """
    recording = Recording(())  # no pictures: watching them would cost the stack a part of its two cores
    specs = graph.build_graph(options)
    with log_lines.LogFiles(logs) as files:

        def keep(line: Line) -> None:
            files.write(line.name, line.text)

        with Supervisor(specs, graph.environment(), keep) as supervisor:
            with Demo(supervisor, recording, lambda text: keep(Line("bench", text))) as course:
                course.wait_until_active([spec.name for spec in specs])
                for mode in modes:  # a mode that cannot be configured is refused now, not in its turn
                    _switch(course, mode)
                turns: list[Turn] = []
                counts = dict.fromkeys(modes, 0)
                for number in range(TURNS_MAX):
                    if min(counts.values()) >= chunks:
                        break
                    # Rotated, so that no mode always follows the same one.
                    for mode in [*modes[number % len(modes) :], *modes[: number % len(modes)]]:
                        turn = _take_turn(course, recording, mode, options.seed + number)
                        turns.append(turn)
                        added = min(chunks, counts[mode] + len(turn.measured)) - min(chunks, counts[mode])
                        counts[mode] += len(turn.measured)
                        on_turn(added, f"{mode}: {', '.join(episode.outcome for episode in turn.episodes)}")
                if supervisor.restart_count:
                    raise StackError(f"{supervisor.restart_count} nodes died and were restarted; see {logs}")
    if min(counts.values()) < chunks:
        raise StackError(f"after {TURNS_MAX} turns of each mode only {counts} chunks were executed; see {logs}")
    return turns


def _switch(course: Demo, mode: str) -> None:
    course.node.set_mode(Mode.HOLD, course.wait_for_answer)
    # Configuring loads and warms up the model.
    wait = functools.partial(course.wait_for_answer, timeout=START_TIMEOUT)
    course.node.reconfigure("policy", {"sai": mode}, wait)
    course.node.set_mode(Mode.POLICY, course.wait_for_answer)


def _take_turn(course: Demo, recording: Recording, mode: str, seed: int) -> Turn:
    _switch(course, mode)
    episodes = [course.run_episode(EpisodePlan(task, seed)) for task in TASKS]
    course.linger(1.6)  # late reports
    chunks = recording.chunks_of(episodes)
    others = {chunk.policy for chunk in chunks if chunk.policy} - {mode}
    if others:
        raise StackError(f"chunks of {mode} were made by {', '.join(sorted(others))}; the policy was not reconfigured")
    recording.chunks.clear()
    return Turn(mode, episodes, chunks)


@dataclass(frozen=True)
class Turn:
    """Some episodes with one re-entry policy. chunks: of all its episodes, executed or not, in order of time."""

    mode: str
    episodes: Sequence[Episode]
    chunks: Sequence[Chunk]

    @property
    def measured(self) -> list[Chunk]:
        """Executed chunks with the policy's report, the warm-up left out."""
        executed = [chunk for chunk in self.chunks if chunk.was_executed]
        return [chunk for chunk in executed[WARM_UP:] if chunk.stages and chunk.blocking is not None]


def measure(turns: Sequence[Turn]) -> dict[str, Any]:
    """`modes` by name, and `ratios` of their medians to the sequential one. Milliseconds where a name says so.

    blocking_ms: capture of the observation to the first command, over all measured chunks; boundary_blocking_ms: of
    those that were asked for while the arms moved; engine_ms: what the engine computes of it, without pictures,
    encoding and messages. A stall is a boundary at which the next chunk was not there.
    """
    modes = list(dict.fromkeys(turn.mode for turn in turns))
    taken = {mode: [turn for turn in turns if turn.mode == mode] for mode in modes}
    report: dict[str, Any] = {"warm_up_chunks_per_turn": WARM_UP, "modes": {}, "ratios": {}}
    for mode in modes:
        report["modes"][mode] = summarise(taken[mode])
    if "sequential" in taken:
        for mode in modes:
            if mode != "sequential" and len(taken[mode]) == len(taken["sequential"]):
                report["ratios"][mode] = {
                    name: ratio_of_medians(_by_episode(taken[mode], seconds), _by_episode(taken["sequential"], seconds))
                    for name, seconds in (("blocking_p50", _blocking), ("engine_p50", engine_seconds))
                }
    return report


def summarise(turns: Sequence[Turn]) -> dict[str, Any]:
    """One mode's turns together."""
    chunks = [chunk for turn in turns for chunk in turn.measured]
    boundaries = [chunk for chunk in chunks if not chunk.at_rest]
    stalls = sum(chunk.stall > 0.0 for chunk in boundaries)
    splits = [split(chunk) for chunk in chunks]
    span, idle = 0.0, 0.0
    for turn in turns:
        for episode in turn.episodes:
            moving, without = idle_time(_of(episode, turn.chunks), episode.ended_at)
            span, idle = span + moving, idle + without
    episodes = [episode for turn in turns for episode in turn.episodes]
    not_executed = Counter(chunk.outcome for turn in turns for chunk in turn.chunks if not chunk.was_executed)
    nfe = [chunk.nfe_blocking for chunk in chunks if chunk.nfe_blocking is not None]
    total = [chunk.nfe_total for chunk in chunks if chunk.nfe_total is not None]
    return {
        "episodes": len(episodes),
        "successes": sum(episode.succeeded for episode in episodes),
        "chunks": len(chunks),
        "from_rest": len(chunks) - len(boundaries),
        "blocking_ms": percentiles(1e3 * chunk.blocking for chunk in chunks),
        "boundary_blocking_ms": percentiles(1e3 * chunk.blocking for chunk in boundaries),
        "engine_ms": percentiles(1e3 * engine_seconds(chunk) for chunk in chunks),
        "split_ms": {name: percentiles(1e3 * parts[name] for parts in splits) for name in SPLIT},
        "boundaries": len(boundaries),
        "stalls": stalls,
        "stall_share": round(stalls / len(boundaries), 4) if boundaries else None,
        "stall_share_wilson95": [round(value, 4) for value in wilson95(stalls, len(boundaries))],
        "idle_fraction": round(idle / span, 4) if span > 0.0 else None,
        "observation_age_ms": percentiles(
            1e3 * (chunk.first_motion_at - chunk.observation_stamp)
            for chunk in chunks
            if chunk.first_motion_at is not None
        ),
        "re_entry": dict(sorted(Counter(_re_entry(chunk) for chunk in chunks).items())),
        "nfe_blocking": {"mean": rounded(mean(nfe), 3), "p50": _median(nfe)},
        "nfe_total_mean": rounded(mean(total), 3),
        "uncalibrated": sum(chunk.uncalibrated for chunk in chunks),
        "steps_cut": sum(chunk.steps_cut for chunk in chunks),
        "surrogate_error": _median(chunk.surrogate_error for chunk in chunks),
        "copy_error": _median(chunk.copy_error for chunk in chunks),
        "not_executed": dict(sorted(not_executed.items())),
    }


def split(chunk: Chunk) -> dict[str, float]:
    """Where a measured chunk's blocking time went [s]; the parts add up to it.

    transport: capture to the arrival of the features, without encoding them. wait: a step of speculation that had to
    end first. send: finished chunk to the commands.
    """
    return {
        **chunk.stages,
        "transport": chunk.frame_arrived_at - chunk.observation_stamp - chunk.stages["encode"],
        "wait": chunk.finished_at - chunk.frame_arrived_at - engine_seconds(chunk),
        "send": chunk.sent_at - chunk.finished_at,
    }


def engine_seconds(chunk: Chunk) -> float:
    """From the features to the finished chunk, of a measured one: what re-entry can save."""
    return chunk.stages["context"] + chunk.stages["memory"] + chunk.stages["finish"]


def _of(episode: Episode, chunks: Iterable[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if episode.started_at <= chunk.observe_at <= episode.ended_at]


def _blocking(chunk: Chunk) -> float:
    return chunk.blocking


def _by_episode(turns: Sequence[Turn], seconds: Callable[[Chunk], float]) -> list[list[float]]:
    return [[seconds(chunk) for chunk in _of(episode, turn.measured)] for turn in turns for episode in turn.episodes]


def _re_entry(chunk: Chunk) -> str:
    return point_name(chunk.re_entry_video_s or 0.0, chunk.re_entry_s or 0.0)


def _median(values: Iterable[float | None]) -> float | None:
    return quantiles((value for value in values if value is not None), {"p50": 0.5})["p50"]


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row per re-entry mode."""
    header = [
        "mode",
        "chunks",
        "blocking p50 / p95 / p99 ms",
        "p50 to sequential (95 %)",
        "at boundaries p50 / p95 / p99 ms",
        "engine alone p50 / p95 ms",
        "its p50 to sequential (95 %)",
        "stalls / boundaries",
        "idle",
    ]
    rows = []
    for mode, found in report["modes"].items():
        ratios = report["ratios"].get(mode, {})
        rows.append(
            [
                mode,
                str(found["chunks"]),
                _texts(found["blocking_ms"], "p50", "p95", "p99"),
                _ratio(ratios.get("blocking_p50"), ""),
                _texts(found["boundary_blocking_ms"], "p50", "p95", "p99"),
                _texts(found["engine_ms"], "p50", "p95"),
                _ratio(ratios.get("engine_p50"), ""),
                f"{found['stalls']} / {found['boundaries']}",
                text(found["idle_fraction"] and 100 * found["idle_fraction"], "{:.1f} %"),
            ]
        )
    return [Rows(header, rows)]


def as_table(report: dict[str, Any]) -> Table:
    """The report for people; the JSON file has all of it."""
    table = Table(title="blocking: capture of the observation to the first command; milliseconds")
    table.add_column("")
    for name, found in report["modes"].items():
        table.add_column(f"{name}\n{found['chunks']} chunks", justify="right")
    columns = list(report["modes"].values())

    def row(title: str, cell: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(title, *(cell(column) for column in columns))

    row("blocking p50 / p95 / p99 / max", lambda c: _texts(c["blocking_ms"], "p50", "p95", "p99", "max"))
    row("  asked for while moving", lambda c: _texts(c["boundary_blocking_ms"], "p50", "p95", "p99", "max"))
    for part in next(iter(columns))["split_ms"]:
        row(f"  {part} p50 / p95", lambda c, part=part: _pair(c["split_ms"][part]))
    row("engine alone p50 / p95 / p99 / max", lambda c: _texts(c["engine_ms"], "p50", "p95", "p99", "max"))
    for title, key in (("p50 to sequential (95 %)", "blocking_p50"), ("  engine alone", "engine_p50")):
        ratios = [report["ratios"].get(name, {}).get(key) for name in report["modes"]]
        table.add_row(title, *(_ratio(ratio, "-") for ratio in ratios))
    row("stalls / boundaries", lambda c: f"{c['stalls']} / {c['boundaries']}")
    row("idle", lambda c: "-" if c["idle_fraction"] is None else f"{c['idle_fraction']:.1%}")
    row("observation age at motion p50 / p95", lambda c: _pair(c["observation_age_ms"]))
    row("NFE blocking p50 (mean)", lambda c: f"{c['nfe_blocking']['p50']:g} ({c['nfe_blocking']['mean']:.1f})")
    row("re-entry", lambda c: ", ".join(f"{name}: {count}" for name, count in c["re_entry"].items()))
    row("success", lambda c: f"{c['successes']} / {c['episodes']}")
    return table


def _texts(values: dict[str, float | None], *names: str) -> str:
    return " / ".join(text(values[name], "{:.0f}") for name in names)


def _ratio(found: dict[str, float] | None, without: str) -> str:
    return without if found is None else f"{found['ratio']:.2f} ({found['low95']:.2f} to {found['high95']:.2f})"


def _pair(values: dict[str, float | None]) -> str:
    return "-" if values["p50"] is None else f"{values['p50']:.1f} / {values['p95']:.1f}"


def draw_latency(turns: Sequence[Turn], report: dict[str, Any], budget: float) -> Figure:
    """The distribution of blocking by mode, and what its median is made of.

    budget: s between an observation and the end of the committed tail; a later chunk makes the arms brake.
    """
    figure, (left, right) = panels(2, 12, 3.2, width_ratios=(3, 2))
    names = list(report["modes"])
    blocking = [
        1e3 * np.array([c.blocking for turn in turns if turn.mode == name for c in turn.measured]) for name in names
    ]
    dots_and_box(left, names, blocking, None)
    left.axvline(1e3 * budget, color="black", linestyle=":", linewidth=1)
    left.text(1e3 * budget, len(names) - 0.45, "later: the arms brake ", fontsize=8, ha="right")
    left.set_ylim(-0.6, len(names) - 0.2)
    left.set_xlim(left=0)
    left.set_xlabel("blocking: capture of the observation to the first command [ms]")
    left.set_title("every chunk; box: quartiles, whiskers: 5 to 95 %", fontsize=9, loc="left")
    start = np.zeros(len(names))
    for part, colour in zip(SPLIT, _PARTS, strict=True):
        width = np.array([report["modes"][name]["split_ms"][part]["p50"] or 0.0 for name in names])
        right.barh(names, width, left=start, color=colour, label=part, height=0.55)
        start += width
    right.set_xlabel("medians of the parts [ms]")
    right.legend(fontsize=7, ncols=len(SPLIT), loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=0.8)
    return figure
