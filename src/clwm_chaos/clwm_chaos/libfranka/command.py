"""`clwm chaos --robot dual_fr3_libfranka`: its own faults, with a table and a report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.table import Table

from clwm_bringup import graph
from clwm_bringup.log_lines import LogFiles
from clwm_chaos.libfranka.course import LibfrankaCourse
from clwm_chaos.libfranka.faults import FAULTS, Injected, summarise
from clwm_common.files.model_files import output_folder
from clwm_common.provenance import commit, machine
from clwm_common.terminal.console import PlainConsole
from clwm_operator.operator_node import StackError

RATE = 1.0  # the world's own clock, so that no machine is too slow for a robot's milliseconds


def inject_all(
    console: PlainConsole, names: Sequence[str], repeat: int, seed: int, options: graph.StackOptions, file: Path | None
) -> None:
    """Every fault in turn, `repeat` times; ends with 1 when one did not end as documented."""
    logs = output_folder() / "chaos" / time.strftime("%Y%m%d-%H%M%S") / "logs"
    planned = [(name, number) for number in range(repeat) for name in names]
    done: list[Injected] = []
    try:
        with LogFiles(logs) as files:
            with LibfrankaCourse(options, lambda line: files.write(line.name, line.text)) as course:
                for name, number in planned:
                    done.append(found := course.inject(name, number, seed))
                    words = "not as documented" if found.violations else "as documented"
                    console.print(f"{name} {number}, {found.arm}: {words}, {found.seconds:.1f} s; {found.said}")
                    for sentence in found.violations:
                        console.print(f"    {sentence}", style="red")
    except StackError as error:
        console.error(f"{error}; the nodes' logs are in {logs}")
        raise typer.Exit(1) from None
    rows = summarise(done)
    console.print(as_table(rows))
    if file is not None:
        report = {"seed": seed, "repeat": repeat, "robot": options.robot, "rate": options.rate, "machine": machine()}
        report |= {"commit": commit(), "libfranka_faults": rows, "injections": [asdict(it) for it in done]}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n")
        console.print(f"report: {file}")
    if any(it.violations for it in done):
        raise typer.Exit(1)


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
