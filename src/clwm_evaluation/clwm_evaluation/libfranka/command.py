"""`clwm bench libfranka`: the policy through libfranka's protocol, beside the same simulation without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from clwm_bringup import graph
from clwm_common.files.model_files import output_folder
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import TASKS
from clwm_evaluation.libfranka.course import Played, cycles_of, noted, play, summary
from clwm_evaluation.report import FirstSeed, Measured, ModelName, Rows, measurement, paired_difference, percent
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, run_evaluation
from clwm_operator.demo.course import EpisodePlan
from clwm_operator.operator_node import StackError

ROBOT = "dual_fr3_libfranka"
FIRST_SEED = 9_100_000
LEDGER = Path("out/bench/libfranka.jsonl")


@measurement(EvaluationError, graph.GraphError, draws=False)
def libfranka(
    console: PlainConsole,
    episodes: Annotated[int, typer.Option(min=1, help="of each task")] = 25,
    rate: Annotated[float, typer.Option(min=0.0, max=10.0, help=graph.RATE_HELP)] = 1.0,
    at_most: Annotated[int, typer.Option(min=1, help="episodes to play this time; the same command goes on")] = 1000,
    unwaited: Annotated[
        int, typer.Option(min=0, help="of each task in real time, robots waiting for nobody: the control")
    ] = 4,
    ledger: Annotated[Path, typer.Option(help="notes every episode; goes on from it")] = LEDGER,
    *,
    model: ModelName = "nano",
    first_seed: FirstSeed = FIRST_SEED,
) -> Measured:
    """Both tasks on arms and hands behind libfranka's servers, through their drivers, and the same seeds without them.

    The whole stack runs, by the world's own clock unless --rate is 0: at the factor of real time that the machine
    carries, which the report says, with the share of the robots' milliseconds that got no command of their own. The
    seeds are played once more by simulated controllers under a virtual clock. A world with a clock of its own waits for
    late commands, so the first few are played in real time as well: what this machine misses where nobody waits.
    """
    plans = [EpisodePlan(task, first_seed + number) for number in range(episodes) for task in TASKS]
    options = graph.StackOptions(robot=ROBOT, model=model, seed=first_seed, rate=rate)
    played = _played(console, options, plans, at_most, ledger)
    real_time, beside = replace(options, rate=0.0), ledger.with_suffix(".unwaited.jsonl")
    control = _played(console, real_time, plans[: unwaited * len(TASKS)], at_most, beside)
    report = summary(played, _directly(model, episodes, first_seed)) | {
        "unwaited": {"successes": sum(it.outcome == "success" for it in control), **cycles_of(control)},
        "model": model,
        "rate": rate,
        "robot": ROBOT,
    }
    return Measured(report, [rows.table("through libfranka's protocol") for rows in page_tables(report)])


def _played(
    console: PlainConsole, options: graph.StackOptions, plans: Sequence[EpisodePlan], at_most: int, ledger: Path
) -> list[Played]:
    """All of `plans`, those of earlier calls from `ledger`. Ends the command when more than `at_most` were left."""
    done = {(it.task, it.seed) for it in noted(ledger)}
    left = [plan for plan in plans if (plan.task, plan.seed) not in done]
    with progress(console, "episodes", len(plans)) as advance:
        advance(len(plans) - len(left), "played before")
        try:
            if left:
                logs = output_folder() / "bench" / "libfranka"
                play(options, left[:at_most], ledger, logs, lambda it: advance(1, f"{it.task} {it.seed}: {it.outcome}"))
        except StackError as error:
            console.error(error)
            raise typer.Exit(1) from None
    if len(left) > at_most:
        console.print(f"{len(left) - at_most} episodes are left; the same command goes on")
        raise typer.Exit(0)
    wanted = {(plan.task, plan.seed) for plan in plans}
    return [it for it in noted(ledger) if (it.task, it.seed) in wanted]


def _directly(model: str, episodes: int, first_seed: int) -> dict[tuple[str, int], bool]:
    """Success by task and seed with simulated controllers in place of the protocol."""
    found: dict[tuple[str, int], bool] = {}
    for task in TASKS:
        settings = EvaluationSettings.of_model(model, task=task, episodes=episodes, first_seed=first_seed)
        run_evaluation(settings, lambda it, task=task: found.update({(task, it.seed): it.succeeded}))
    return found


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Success by task, and the cycles."""
    header = ["task", "through libfranka", "Wilson 95 %", "directly", "Wilson 95 %", "points (95 %)", "McNemar exact p"]
    rows = []
    for task, found in report["by_task"].items():
        rates = [found["libfranka"], found["direct"]]
        cells = [(f"{it['successes']} / {found['episodes']}", percent(it["wilson95"])) for it in rates]
        rows.append([task, *cells[0], *cells[1], *paired_difference(found["difference"])])
    columns = ["a late command", "episodes", "cycles of both arms", "missed", "factor of real time", "in the fastest"]
    cycles = [
        [
            how,
            f"{found['successes']} / {found['episodes']}",
            f"{found['cycles']:,}",
            f"{found['cycles_missed']:,} ({found['missed_share']:.3%})",
            f"{found['real_time_factor']:.2f}",
            f"{found['real_time_factor_highest']:.2f}",
        ]
        for how, found in (
            ("is waited for", report | {"successes": report["by_task"]["all"]["libfranka"]["successes"]}),
            ("is not", report["unwaited"]),
        )
        if found["episodes"]
    ]
    return [Rows(header, rows), Rows(columns, cycles)]
