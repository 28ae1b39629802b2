"""The command `clwm data check`: progress while the experts are tried, a table and a JSON file when it is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from clwm_common.terminal.console import PlainConsole, description_column
from clwm_embodichain.expansion.parts import Expansion, ExpansionError
from clwm_embodichain.expert_check.table import TrialLog, running, summarise
from clwm_embodichain.expert_check.trials import TrialOrder, orders
from clwm_sim.registry import RegistryError


def check(
    scene: Annotated[str | None, typer.Option(help="one scene; all when left out")] = None,
    goal: Annotated[str | None, typer.Option(help="one kind of goal; all when left out")] = None,
    expansion: Annotated[
        str | None,
        typer.Option(help="none, all, or some of visual,physics,reachability,recovery; none and all when left out"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="trials of each goal; every other one starts midway")] = 200,
    controls: Annotated[int, typer.Option(min=0, help="trials of each goal in which another one is pursued")] = 20,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="where the report goes as JSON")] = None,
    log: Annotated[Path, typer.Option(help="results so far: what is in it is not done again")] = Path(
        "out/expert_trials.jsonl"
    ),
) -> None:
    """How often the scripted experts achieve each goal, from the start of an episode and from the middle of one.

    All goals of all scenes, without and with domain expansion, go to benchmarks/results/experts.json, a part of them
    nowhere unless --json is given.
    """
    console = PlainConsole(highlight=False)
    try:
        expansions = ("none", "all") if expansion is None else (str(Expansion.parse(expansion)),)
        wanted = orders(scene, goal, range(first_seed, first_seed + seeds), controls, expansions)
    except (ExpansionError, RegistryError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    trials = TrialLog(log)
    results = _results(wanted, trials, workers, console)
    report = summarise([results[order] for order in wanted], trials.commit)
    console.print(_as_table(report))
    if json_file is None and scene is goal is expansion is None:
        json_file = Path("benchmarks/results/experts.json")
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=2) + "\n")
        console.print(f"report: {json_file}", soft_wrap=True)


def _results(wanted: list[TrialOrder], log: TrialLog, workers: int, console: PlainConsole) -> dict[TrialOrder, Any]:
    known = {result.order: result for result in log.known()}
    results = {order: known[order] for order in wanted if order in known}
    left = [order for order in wanted if order not in known]
    if results:
        console.print(f"{len(results)} of {len(wanted)} trials were made before, {len(left)} to do")
    text = description_column()
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, running(left, workers) as done:
        bar = progress.add_task("experts", total=len(left))
        failed = 0
        for result in done:
            results[result.order] = result
            log.add(result)
            failed += (result.outcome == "achieved") == result.is_control
            progress.update(bar, advance=1, description=f"{result.scene}, {result.kind}: {failed} failed so far")
    return results


def _as_table(report: dict[str, Any]) -> Table:
    """The report for people, in 80 columns; the JSON file has times and every failure too."""
    table = Table(title=f"Experts, {report['seeds']} seeds a goal", box=None, padding=(0, 2, 0, 0))
    for name in ("scene and goal", "expansion"):
        table.add_column(name, no_wrap=True)
    for name in ("achieved", "95 %", "midway", "anew", "control"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report["table"]:
        low, high = row["wilson95"]
        table.add_row(
            f"{row['scene']} {row['goal']}",
            row["expansion"],
            f"{row['achieved']}/{row['trials']}",
            f"{100 * low:.0f} to {100 * high:.0f}",
            f"{row['midway_achieved']}/{row['midway']}",
            f"{row['tried_anew_achieved']}/{row['tried_anew']}",
            f"{row['controls_achieved']}/{row['controls']}",
        )
    table.caption = "95 %: Wilson; midway: asked in the middle; anew: after failing; control: pursuing another goal"
    return table


if __name__ == "__main__":
    typer.run(check)
