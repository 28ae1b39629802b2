"""`clwm soak`: the stack at work for a long time, watched for what grows, stalls or goes missing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from clwm_bringup import graph
from clwm_bringup.log_lines import LogFiles
from clwm_bringup.supervisor import Line, Supervisor
from clwm_common.files.model_files import ModelFiles, output_folder
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole, description_column

UNWATCHED = 60.0  # s at the end in which nobody looks at the console
SAID_EVERY = 60.0  # s between progress lines where there is no terminal


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, max=10_000.0, help="how long, without the start")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="of the first episode; the following count up")] = 1_000_000,
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = graph.StackOptions.model,
    sai: Annotated[str, typer.Option(help=graph.SAI_HELP)] = "",
    operator: Annotated[
        bool, typer.Option("--operator", help="with the operator's page, one viewer, and clwm record beside it")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the report here, a PNG beside it")] = None,
) -> None:
    """Let the policy work for an hour: stalls, the executor's memory and processor time, missed joint states.

    With --operator also what console and recorder cost beside it: with the viewer, and for the last minute (the last
    tenth of a shorter run) without. Pictures are 128 x 128, and 640 x 480 with --robot dual_fr3_640x480.

    Writes a report and a picture; Ctrl-C ends it early, with a report of what was measured until then. Ends with 1
    when a target is missed.
    """
    from clwm_chaos.soak.beside import OperatorProcesses
    from clwm_chaos.soak.course import SoakCourse
    from clwm_common.recordings.reader import RecordingError
    from clwm_operator.operator_node import StackError

    console = PlainConsole(highlight=False, soft_wrap=True)
    folder = output_folder() / "soak" / time.strftime("%Y%m%d-%H%M%S")
    report_file = json_file or folder / "report.json"
    options = graph.StackOptions(robot=robot, model=model, sai=sai, seed=seed)
    description, specs = graph.simulated_robot(robot), graph.build_graph(options)
    tasks = ModelFiles.load(model).tasks
    beside = OperatorProcesses(robot, model, (folder / "recordings").absolute()) if operator else None
    processes = [*specs, *(beside.specs if beside else ())]
    console.print(f"{minutes:g} minutes of operation, then a report: {report_file}")
    said_at = time.monotonic()

    def show(text: str) -> None:
        nonlocal said_at
        progress.update(bar, description=text, completed=course.elapsed if course else 0.0)
        if not console.is_terminal and time.monotonic() - said_at > SAID_EVERY:
            said_at = time.monotonic()
            console.print(f"{course.elapsed / 60.0:.0f} of {minutes:g} minutes, {len(course.soak.outcomes)} episodes")

    course: SoakCourse | None = None
    is_interrupted = False
    columns = (description_column(), BarColumn(20), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress, LogFiles(folder / "logs") as files:
            bar = progress.add_task("starting the stack", total=60.0 * minutes)

            def hear(line: Line) -> None:
                files.write(line.name, line.text)
                if beside:
                    beside.hear(line)

            with Supervisor(processes, graph.environment(), hear) as supervisor:
                with SoakCourse(supervisor, description, tasks, show) as course:
                    course.wait_until_active([spec.name for spec in specs])
                    if beside:
                        beside.begin(supervisor)
                    try:
                        whole = 60.0 * minutes
                        course.run(whole - min(UNWATCHED, whole / 10.0) if beside else whole, seed)
                        if beside:
                            beside.leave()
                            course.go_on(whole)
                    except KeyboardInterrupt:
                        is_interrupted = True
                    measured, seconds = course.finish(), course.elapsed
                    if beside:
                        measured.operator = beside.end()
            if beside:
                measured.operator = beside.with_recordings(measured.operator)
    except (StackError, RecordingError) as error:
        console.error(f"{error}; the nodes' logs are in {folder / 'logs'}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    report = _write(report_file, measured, seconds, options, description, is_interrupted)
    _print(console, report)
    console.print(f"report: {report_file}, picture: {report_file.with_suffix('.png')}; logs: {folder / 'logs'}")
    if is_interrupted:
        raise typer.Exit(130)
    if report["not_met"]:
        raise typer.Exit(1)


def _pictures(robot: RobotDescription) -> str:
    """Width and height of what the cameras send, px."""
    side = graph.fixed_parameters("sim")["image_size"]
    sizes = [robot.camera_source(camera).simulated_size or (side, side) for camera in robot.cameras]
    return ", ".join(dict.fromkeys(f"{width} x {height}" for width, height in sizes))


def _write(
    path: Path,
    measured: object,
    seconds: float,
    options: graph.StackOptions,
    robot: RobotDescription,
    is_interrupted: bool,
) -> dict:
    from clwm_chaos.soak.measure import summarise
    from clwm_chaos.soak.picture import draw_soak
    from clwm_common.provenance import commit, machine

    report = {
        **summarise(measured, seconds),
        "is_interrupted": is_interrupted,
        "robot": options.robot,
        "pictures": _pictures(robot),
        "model": options.model,
        "seed": options.seed,
        "load_average": os.getloadavg()[1],  # of five minutes
        "machine": machine(),
        "commit": commit(),
        "resident_mb_by_minute": [round(sample.resident, 2) for sample in measured.samples[::60]],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    draw_soak(measured, path.with_suffix(".png"), f"clwm soak, {seconds / 60.0:.0f} minutes, model {options.model}")
    return report


def _print(console: PlainConsole, report: dict) -> None:
    from rich.table import Table

    table = Table(title="soak")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for name, value in report.items():
        if isinstance(value, (int, float)):
            table.add_row(name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)
    for sentence in report["not_met"]:
        console.marked("not met:", "red", sentence)
