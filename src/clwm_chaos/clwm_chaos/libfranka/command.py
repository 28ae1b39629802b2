"""`clwm chaos --robot dual_fr3_libfranka`: its own faults, with a table and a report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from clwm_bringup import graph
from clwm_bringup.log_lines import LogFiles
from clwm_chaos.faults.plan import Journal, JournalError, Planned, plan
from clwm_chaos.libfranka.course import LibfrankaCourse
from clwm_chaos.libfranka.faults import FAULTS, Injected, summarise
from clwm_common.files.model_files import output_folder
from clwm_common.provenance import commit, machine
from clwm_common.terminal.console import PlainConsole
from clwm_operator.operator_node import StackError

# Of real time, by the world's own clock: the world waits for the arms' drivers, and for nobody else who has to react.
RATE = 0.3


def inject_all(
    console: PlainConsole, names: Sequence[str], repeat: int, seed: int, options: graph.StackOptions, file: Path | None
) -> None:
    """Every fault `repeat` times, in a random order; ends with 1 when one did not end as documented.

    Finished injections are noted beside the report `file`, from where the same call goes on.
    """
    logs = output_folder() / "chaos" / time.strftime("%Y%m%d-%H%M%S") / "logs"
    report_file = file or logs.parent / "report.json"
    head = {"seed": seed, "repeat": repeat, "robot": options.robot, "rate": options.rate, "commit": commit()}
    try:
        journal = Journal(report_file.with_suffix(".jsonl"), head | {"faults": list(names)}, read)
        with LogFiles(logs) as files:
            _inject(console, journal, plan(names, repeat, seed), options, files)
    except JournalError as error:
        console.error(error)
        raise typer.Exit(2) from None
    except StackError as error:
        console.error(f"{error}; the nodes' logs are in {logs}, the same command goes on")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print(f"interrupted; the same command goes on from {report_file.with_suffix('.jsonl')}")
        raise typer.Exit(130) from None
    rows = summarise(journal.done)
    console.print(as_table(rows))
    report = head | {
        "machine": machine(),
        "libfranka_faults": rows,
        "injections": [it.as_dict() for it in journal.done],
    }
    report_file.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"report: {report_file}; the nodes' logs: {logs}")
    if any(it.violations for it in journal.done):
        raise typer.Exit(1)


def _inject(
    console: PlainConsole,
    journal: Journal[Injected],
    planned: Sequence[Planned],
    options: graph.StackOptions,
    files: LogFiles,
) -> None:
    """What is left of the plan, on one running stack."""
    left = journal.left(planned)
    if journal.done:
        console.print(f"{len(journal.done)} of {len(planned)} injections are done already")
    if not left:
        return
    with LibfrankaCourse(options, lambda line: files.write(line.name, line.text)) as course:
        for item in left:
            journal.append(found := course.inject(item))
            words = "not as documented" if found.violations else "as documented"
            console.print(f"{found.fault} {found.number}, {found.arm}: {words}, {found.seconds:.1f} s; {found.said}")
            for sentence in found.violations:
                console.print(f"    {sentence}", style="red")


def read(fields: dict[str, Any]) -> Injected:
    """A line of the journal."""
    return Injected(**fields)


def as_table(rows: Sequence[dict]) -> Table:
    """A line for each fault."""
    table = Table(title="faults of arms and hands by libfranka")
    for title in ("fault", "documented outcome", "as documented", "standstill [s]", "travel [rad]"):
        table.add_column(title)
    for row in rows:
        numbers = ("-" if row[it] is None else f"{row[it]:.3f}" for it in ("standstill_s_max", "travel_rad_max"))
        done = f"{row['ended_as_documented']} of {row['injections']}"
        table.add_row(row["fault"], row["documented_outcome"], done, *numbers)
    return table


def chosen(names: Sequence[str]) -> list[str]:
    """The faults by name; all of them where none is named. Raises GraphError for one that this robot does not have."""
    if unknown := [name for name in names if name not in FAULTS]:
        raise graph.GraphError(f"fault '{unknown[0]}' is unknown for this robot; expected one of: {', '.join(FAULTS)}")
    return list(names) or list(FAULTS)
