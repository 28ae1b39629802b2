"""`clwm bench latency`: re-entry policies side by side in real time, on the four processes over DDS."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from clwm_bringup import graph, log_lines
from clwm_bringup.supervisor import Line, Supervisor
from clwm_common.actions import ROW_DT
from clwm_common.files.model_files import ModelFiles, output_folder
from clwm_common.messages import Mode
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.measurements.latency_report import Turn, measure
from clwm_evaluation.report import (
    JsonFile,
    ModelName,
    PngFile,
    progress,
    provenance,
    refuse,
    write_json,
    write_png,
)
from clwm_operator.demo.course import START_TIMEOUT, Demo, EpisodePlan
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Recording
from clwm_policy.engine.re_entry import ReEntryError, parse_re_entry
from clwm_policy.model.sizes import EXECUTED_ROWS

MODES = ("sequential", "fixed:0.5", "adaptive")
TASKS = ("lift_tray", "place_block")  # one episode of each makes a turn
FIRST_SEED = 6_000_000
TURNS_MAX = 1000  # a stack that executes nothing must not be asked for ever
COMMITTED_TAIL = (16 - EXECUTED_ROWS) * ROW_DT  # s


def latency(
    chunks: Annotated[int, typer.Option(min=1, help="measured of each mode, at least")] = 200,
    modes: Annotated[list[str] | None, typer.Option("--mode", help=f"repeat it; default: {', '.join(MODES)}")] = None,
    backend: Annotated[str, typer.Option(help="what runs the policy; empty takes the model's")] = "",
    model: ModelName = "nano",
    first_seed: Annotated[int, typer.Option(min=0, help="of the first turn; the same for every mode")] = FIRST_SEED,
    logs: Annotated[Path | None, typer.Option(help="folder for the nodes' logs; default out/bench/latency")] = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Blocking latency of sequential, fixed and adaptive re-entry, in real time through ROS, on the same seeds.

    The modes take turns of two episodes on one running stack: between turns the policy node is configured anew. What
    else the machine does thus falls on all of them alike. 200 chunks of three modes take about a quarter of an hour.
    """
    console = PlainConsole()
    try:
        names = [parse_re_entry(mode).name for mode in modes or MODES]
    except ReEntryError as error:
        refuse(console, error)
    if len(set(names)) != len(names):
        refuse(console, ReEntryError(f"modes {', '.join(names)}; expected every one once"))
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
        **provenance("latency", first_seed),
    }
    console.print(as_table(report))
    write_json(console, report, json_file)
    if png is not None:
        from clwm_evaluation.measurements.latency_plot import draw_latency

        write_png(console, lambda: draw_latency(turns, report, COMMITTED_TAIL), png)


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


def as_table(report: dict[str, Any]) -> Table:
    """The report for people; the JSON file has all of it."""
    table = Table(title="blocking: capture of the observation to the first command; milliseconds")
    table.add_column("")
    for name, found in report["modes"].items():
        table.add_column(f"{name}\n{found['chunks']} chunks", justify="right")
    columns = list(report["modes"].values())

    def row(title: str, cell: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(title, *(cell(column) for column in columns))

    row("blocking p50 / p95 / p99 / max", lambda c: _quantiles(c["blocking_ms"]))
    row("  asked for while moving", lambda c: _quantiles(c["boundary_blocking_ms"]))
    for part in next(iter(columns))["split_ms"]:
        row(f"  {part} p50 / p95", lambda c, part=part: _pair(c["split_ms"][part]))
    row("engine alone p50 / p95 / p99 / max", lambda c: _quantiles(c["engine_ms"]))
    for title, key in (("p50 to sequential (95 %)", "blocking_p50"), ("  engine alone", "engine_p50")):
        ratios = [report["ratios"].get(name, {}).get(key) for name in report["modes"]]
        table.add_row(title, *(_ratio(ratio) for ratio in ratios))
    row("stalls / boundaries", lambda c: f"{c['stalls']} / {c['boundaries']}")
    row("idle", lambda c: "-" if c["idle_fraction"] is None else f"{c['idle_fraction']:.1%}")
    row("observation age at motion p50 / p95", lambda c: _pair(c["observation_age_ms"]))
    row("NFE blocking p50 (mean)", lambda c: f"{c['nfe_blocking']['p50']:g} ({c['nfe_blocking']['mean']:.1f})")
    row("re-entry", lambda c: ", ".join(f"{name}: {count}" for name, count in c["re_entry"].items()))
    row("success", lambda c: f"{c['successes']} / {c['episodes']}")
    return table


def _quantiles(values: dict[str, float | None]) -> str:
    return " / ".join("-" if values[name] is None else f"{values[name]:.0f}" for name in ("p50", "p95", "p99", "max"))


def _ratio(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['ratio']:.2f} ({found['low95']:.2f} to {found['high95']:.2f})"


def _pair(values: dict[str, float | None]) -> str:
    return "-" if values["p50"] is None else f"{values['p50']:.1f} / {values['p95']:.1f}"


if __name__ == "__main__":
    typer.run(latency)
