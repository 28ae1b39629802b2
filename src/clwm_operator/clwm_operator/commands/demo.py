"""`clwm demo`: the stack on two simulated arms, from start to report."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn
from rich.text import Text

from clwm_bringup import graph, log_lines
from clwm_bringup.supervisor import Line, Supervisor
from clwm_common.files.model_files import ModelFiles, output_folder
from clwm_common.log_throttle import LogThrottle
from clwm_common.terminal.console import PlainConsole, description_column
from clwm_operator.recording import Recording

SAME_AGAIN = 20.0  # s before the same warning is shown again
RECORDING = "policy.mcap"
FIRST_SEED = 1_000_000  # unseen in training


def demo(
    seed: Annotated[int, typer.Option(min=0, help="of the first episode; the following count up")] = FIRST_SEED,
    tasks: Annotated[
        str,
        typer.Option(help="TASK or TASK@SEED, with commas, such as tray:lift_tray@7; default: the model's `demo`"),
    ] = "",
    sai: Annotated[str, typer.Option(help=graph.SAI_HELP)] = "",
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = graph.StackOptions.model,
    robot: Annotated[str, typer.Option(help="a simulated one of config/robots")] = graph.StackOptions.robot,
    sim_time: Annotated[bool, typer.Option("--sim-time", help=graph.SIM_TIME_HELP)] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.0, max=10.0, help=f"{graph.RATE_HELP}; default: 1 for robots behind libfranka, else 0"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write to; default out/demo/<time>")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="show the nodes' whole logs")] = False,
) -> None:
    """Run some episodes on the whole stack, headless, switching the task while it runs; it takes about a minute.

    Prints a table and writes video.mp4, timeline.png, report.json, policy.mcap (for `clwm replay`) and the nodes' logs.
    Ends with 1 when the stack did not come up.
    """
    from clwm_common.robot.description import RobotDescription
    from clwm_operator.demo.course import Demo, EpisodePlan
    from clwm_operator.demo.report import as_table
    from clwm_operator.operator_node import StackError

    console = PlainConsole(highlight=False, soft_wrap=True)
    folder = out or output_folder() / "demo" / time.strftime("%Y%m%d-%H%M%S")
    graph.simulated_robot(robot)
    wanted = tasks.split(",") if tasks else ModelFiles.load(model).demo
    try:
        plans = [EpisodePlan.parse(text, seed + number) for number, text in enumerate(wanted)]
    except ValueError as error:
        console.error(f"{'--tasks' if tasks else f'model {model}, field demo'}: {error}")
        raise typer.Exit(2) from None
    if rate is None:
        # Two drivers at 1 kHz beside a world want more cores than most machines have; by its clock it waits for them.
        behind_libfranka = RobotDescription.load(robot).driver == "libfranka"
        rate = 1.0 if behind_libfranka and not sim_time else graph.StackOptions.rate
    recorded = str(folder.absolute() / RECORDING)
    options = graph.StackOptions(
        robot=robot, model=model, seed=seed, sai=sai, record=recorded, sim_time=sim_time, rate=rate
    )
    specs = graph.build_graph(options)
    recording = Recording(tuple(RobotDescription.load(options.robot).cameras))
    started = time.monotonic()
    columns = (description_column(), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, log_lines.LogFiles(folder / "logs") as logs:
        bar = progress.add_task("starting the stack", total=len(plans) + 2)

        repeats = LogThrottle(SAME_AGAIN)

        def show(line: Line) -> None:
            logs.write(line.name, line.text)
            parsed = log_lines.parse(line.name, line.text)
            if verbose or (parsed.matters and repeats.admit(time.monotonic(), parsed.text, line.name)):
                progress.console.print(parsed.styled())

        try:
            with Supervisor(specs, graph.environment(), show) as supervisor:
                show_step = functools.partial(_show_step, progress, bar)
                with Demo(supervisor, recording, show_step, options.lives_by_clock) as course:
                    course.wait_until_active([spec.name for spec in specs])
                    came_up = time.monotonic() - started
                    progress.console.print(
                        f"the stack is up after {came_up:.0f} s: {', '.join(supervisor.process_ids())}"
                    )
                    progress.advance(bar)
                    for plan in plans:
                        episode = course.run_episode(plan)
                        progress.advance(bar)
                        mark = (episode.outcome, "green" if episode.succeeded else "red")
                        text = Text.assemble(
                            f"{plan.task}, seed {plan.seed}: ", mark, f" after {episode.seconds:.1f} s"
                        )
                        progress.console.print(text)
                    course.linger(1.6)
                restarts = supervisor.restart_count
        except StackError as error:
            progress.console.error(error)
            progress.console.print(f"logs: {folder / 'logs'}")
            raise typer.Exit(1) from None
        progress.update(bar, description="writing video, timeline and report")
        _write(folder, recording, options, came_up, restarts)
    console.print(as_table(recording))
    for name in ("video.mp4", "timeline.png", "report.json", RECORDING):
        console.print(f"{folder / name}")


def _show_step(progress: Progress, bar: TaskID, text: str) -> None:
    progress.update(bar, description=text)


def _write(folder: Path, recording: Recording, options: graph.StackOptions, came_up: float, restarts: int) -> None:
    from dataclasses import asdict

    from clwm_common.provenance import commit, machine
    from clwm_operator.demo.demo_node import FRAME_PERIOD
    from clwm_operator.demo.report import executor_metrics, summarise
    from clwm_operator.demo.timeline_picture import draw_timeline
    from clwm_operator.demo.video import write_video

    sai = options.sai or ModelFiles.load(options.model).sai
    tasks = dict.fromkeys(episode.task for episode in recording.episodes)
    report = {
        "sai": sai,
        "model": options.model,
        "rate": options.pace or None,
        "machine": machine(),
        "commit": commit(),
        "seconds_to_come_up": came_up,
        "restarts": restarts,
        "all": summarise(recording, recording.episodes),
        "tasks": {
            task: summarise(recording, [episode for episode in recording.episodes if episode.task == task])
            for task in tasks
        },
        "executor": executor_metrics(recording),
        "episodes": [asdict(episode) for episode in recording.episodes],
        "chunks": [asdict(chunk) for chunk in recording.chunks],
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    draw_timeline(recording, folder / "timeline.png", f"clwm demo, {sai}, model {options.model}")
    write_video(recording, folder / "video.mp4", 1.0 / FRAME_PERIOD)
