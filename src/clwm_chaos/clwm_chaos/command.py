"""`clwm chaos`: faults let loose, on the real stack in real time or on the executor's core under a virtual clock."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from clwm_bringup import graph
from clwm_bringup.log_lines import LogFiles
from clwm_common.files.model_files import ModelFiles, output_folder
from clwm_common.terminal.console import PlainConsole, description_column

ROBOT = "dual_fr3_gripper_action"  # whose grippers' faults can be seen, too
START = 20.0  # s for the stack to come up
WIDTH = 150  # columns of the table where no terminal says how many there are


def chaos(
    virtual: Annotated[bool, typer.Option("--virtual", help="fuzz the executor's core under a virtual clock")] = False,
    every: Annotated[bool, typer.Option("--all", help="inject every fault into the real stack")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="inject this fault only; may be given again")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="injections of each fault")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="the same seed, the same faults; default: a new one")] = None,
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = ROBOT,
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = graph.StackOptions.model,
    sim_time: Annotated[
        bool, typer.Option("--sim-time", help="on a stack that lives by the simulation's time")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the report here")] = None,
    chunks: Annotated[int, typer.Option(min=1, help="--virtual: executed chunks, over all runs")] = 10_000,
    run: Annotated[int | None, typer.Option(min=0, help="--virtual: do this run of a seed again, alone")] = None,
    workers: Annotated[int, typer.Option(min=1, help="--virtual: processes")] = len(os.sched_getaffinity(0)),
) -> None:
    """Let faults loose and check what the arms do. Ends with 1 when a rule is broken.

    On the real stack (--all, --fault): while the policy moves the arms, processes are killed and stopped and messages
    are lost, delayed and changed at random instants; from the recorded joint states it is checked that the arms come
    to rest soon enough, within their limits, and that all goes on as docs/safety.md says. Every finished injection is
    noted in a file beside the report, from which the same command goes on after Ctrl-C.

    Arms by libfranka (--robot dual_fr3_libfranka) have faults of their own: a driver killed, reflexes, a connection
    that is cut, a grasp on nothing; by the world's own clock.

    With --virtual: the executor's scheduler and a policy of random motions, in seconds for thousands of chunks.
    """
    from clwm_chaos.faults.faults import FAULTS, applies

    if virtual:
        from clwm_chaos.fuzzer.command import fuzz
        from clwm_chaos.fuzzer.fuzzer import FuzzSettings
        from clwm_common.robot.description import RobotDescription

        RobotDescription.load(robot)
        seed = secrets.randbelow(2**31) if seed is None else seed
        fuzz(PlainConsole(), FuzzSettings(chunks, seed, robot, workers, run), json_file)
        return
    console = PlainConsole(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    options = graph.StackOptions(robot=robot, model=model, sim_time=sim_time)
    if graph.simulated_robot(robot).driver == "libfranka" and (every or fault):
        from clwm_chaos.libfranka.command import RATE, chosen, inject_all

        options = replace(options, rate=RATE)
        return inject_all(console, chosen(() if every else fault), repeat, seed or 0, options, json_file)
    names = list(FAULTS) if every else list(dict.fromkeys(fault or []))
    if unknown := [name for name in names if name not in FAULTS]:
        console.error(f"fault '{unknown[0]}' is unknown; expected one of: {', '.join(FAULTS)}")
        raise typer.Exit(2)
    described = graph.simulated_robot(robot)
    idle = [name for name in names if not applies(FAULTS[name], described, sim_time)]
    names = [name for name in names if name not in idle]
    if idle and not names:
        console.error(_left_out(robot, idle))
    if not names:
        console.error("nothing to inject; add --all, --fault NAME, or --virtual")
        raise typer.Exit(2)
    _inject_all(console, names, idle, repeat, seed, options, json_file)


def _left_out(robot: str, names: Sequence[str]) -> str:
    return f"left out, as {robot} has nothing that it harms, or for --sim-time: {', '.join(names)}"


def _inject_all(
    console: PlainConsole,
    names: Sequence[str],
    idle: Sequence[str],
    repeat: int,
    seed: int | None,
    options: graph.StackOptions,
    json_file: Path | None,
) -> None:
    from clwm_chaos.faults.course import ChaosCourse
    from clwm_chaos.faults.faults import FAULTS, expected_seconds
    from clwm_chaos.faults.plan import Journal, JournalError, plan, saved_seed
    from clwm_chaos.faults.report import as_table, summarise
    from clwm_chaos.faults.verdict import Injection
    from clwm_common.provenance import commit
    from clwm_operator.operator_node import StackError

    if idle:
        console.print(_left_out(options.robot, idle))
    started = time.strftime("%Y%m%d-%H%M%S")
    folder = json_file.parent if json_file else output_folder() / "chaos" / started
    report_file = json_file or folder / "report.json"
    journal_file = report_file.with_suffix(".jsonl")
    if seed is None:
        seed = saved_seed(journal_file)
    seed = secrets.randbelow(2**31) if seed is None else seed
    robot, specs = graph.simulated_robot(options.robot), graph.build_graph(options)
    tasks = ModelFiles.load(options.model).tasks
    head = {"seed": seed, "repeat": repeat, "faults": list(names), "commit": commit(), "robot": robot.name}
    head |= {"sim_time": True} if options.sim_time else {}
    try:
        journal = Journal(journal_file, head, Injection.from_dict)
    except JournalError as error:
        console.error(error)
        raise typer.Exit(2) from None
    planned = plan(names, repeat, seed)
    left = journal.left(planned)
    minutes = (START + sum(expected_seconds(FAULTS[item.fault]) for item in left)) / 60.0 if left else 0.0
    done = f", {len(journal.done)} are done already" if journal.done else ""
    console.print(f"seed {seed}: {len(planned)} injections{done}; this takes about {minutes:.1f} minutes")
    columns = (
        description_column(), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    logs = output_folder() / "chaos" / started / "logs"
    evidence = logs.parent / "failed"
    try:
        with (
            Progress(*columns, console=console, transient=True) as progress,
            LogFiles(logs) as files,
        ):
            bar = progress.add_task("starting the stack", total=len(planned), completed=len(journal.done))
            if left:
                with ChaosCourse(
                    specs, robot, tasks, lambda line: files.write(line.name, line.text), evidence
                ) as course:
                    for item in left:
                        progress.update(bar, description=item.fault)
                        injection = course.inject(FAULTS[item.fault], item)
                        journal.append(injection)
                        progress.advance(bar)
                        _say(progress.console, injection, console.is_terminal)
    except StackError as error:
        console.error(f"{error}; the nodes' logs are in {logs}, the same command goes on")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print(f"interrupted; the same command goes on from {journal_file}")
        raise typer.Exit(130) from None
    report = summarise(journal.done, seed, repeat)
    report_file.write_text(json.dumps(report, indent=1) + "\n")
    console.print(as_table(report))
    console.print(f"report: {report_file}; the nodes' logs: {logs}")
    if report["violations"]:
        console.print(f"what was recorded of the injections that were not as documented: {evidence}")
        raise typer.Exit(1)


def _say(console: PlainConsole, injection: object, is_terminal: bool) -> None:
    """A line for every injection that was not as documented; without a terminal, which has a bar, for all of them."""
    if injection.violations or not is_terminal:
        mark = ("not as documented", "red") if injection.violations else ("as documented", "")
        what = f"{injection.fault} {injection.number}, {injection.task}: "
        console.print(Text.assemble(what, mark, f", {injection.seconds:.1f} s"))
    for sentence in injection.violations:
        console.print(f"    {sentence}", style="red")
