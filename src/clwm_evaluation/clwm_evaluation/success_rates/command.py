"""The command `clwm eval`: one task, or a suite of conditions; a table and a JSON file when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from clwm_common.files.policy_document import CheckpointError
from clwm_common.terminal.console import PlainConsole, description_column
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.report import JsonFile, Rows, percent, refuse, text, with_options, write_json
from clwm_evaluation.success_rates.evaluation import (
    CONTROLS,
    FIRST_SEED,
    EvaluationError,
    EvaluationSettings,
    check_settings,
    run_evaluation,
)
from clwm_evaluation.success_rates.video import film_episode
from clwm_evaluation.virtual.conditions import CONDITIONS
from clwm_evaluation.virtual.stack import EpisodeResult


@with_options
def evaluate(
    task: Annotated[str, typer.Option(help="lift_tray or place_block")] = "lift_tray",
    episodes: Annotated[int, typer.Option(min=1)] = 100,
    sai: Annotated[
        str | None, typer.Option(help="sequential, fixed:<s_mid> such as fixed:0.5, or adaptive; default: the model's")
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(
            help="from pictures to chunk: 'measured' on this machine, or milliseconds; default: measured, of a suite 30"
        ),
    ] = None,
    control: Annotated[str, typer.Option(help=f"who moves the arms: {', '.join(CONTROLS)}")] = "policy",
    follow: Annotated[str, typer.Option(help="channels of the chunks that move the arms: joints, poses")] = "joints",
    *,
    source: Source,
    first_seed: Annotated[
        int, typer.Option("--first-seed", "--seed", min=0, help="training data stays below 1000000")
    ] = FIRST_SEED,
    workers: Annotated[int, typer.Option(min=1, help="processes; more than there are cores falsify 'measured'")] = 1,
    video_steps: Annotated[int | None, typer.Option(help="flow steps of stage 1; default: the model's")] = None,
    action_steps: Annotated[int | None, typer.Option(help="flow steps of stage 2; default: the model's")] = None,
    disturb: Annotated[float, typer.Option(help="move an object this many m, once, while the arms work")] = 0.0,
    condition: Annotated[str, typer.Option(help=f"what is changed: {', '.join(CONDITIONS)}")] = "none",
    replay_log: Annotated[Path | None, typer.Option(help="file of what the engine was given, for clwm replay")] = None,
    json_file: JsonFile = None,
    video: Annotated[Path | None, typer.Option(help="film the first episode as an mp4")] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="conditions of goals, instructions, looks, cameras, physics or memory, not one task"),
    ] = None,
    goals: Annotated[
        str | None, typer.Option(help="of a suite, as train-policy takes them; default: what the policy was taught")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="report of a suite (.json), its page and episodes beside it; in out/suites/")
    ] = None,
) -> None:
    """Evaluate a policy on unseen seeds under a virtual clock, in one process without ROS.

    With --suite it runs, on the same seeds, under every condition of the suite beside its controls; --policy may be
    the folder of a policy and its encoder then. What is done is kept: an interrupted suite goes on where it was.
    """
    console = PlainConsole()
    if suite is not None:
        # Here, since torch takes seconds to import and --help must not wait for it.
        from clwm_evaluation.suites.command import LATENCY, SAI, run_suite
        from clwm_evaluation.suites.episodes import SuiteError

        policy, encoder = source.policy, source.encoder
        if policy is not None and policy.is_dir():
            encoder = encoder or (policy / "encoder" if (policy / "encoder").is_dir() else None)
            policy = policy / "policy.safetensors"
        try:
            settings = EvaluationSettings.of_model(
                source.model,
                task=task,
                episodes=episodes,
                first_seed=first_seed,
                sai=sai or SAI,
                latency=latency or LATENCY,
                policy=policy,
                encoder=encoder,
                video_steps=video_steps,
                action_steps=action_steps,
                workers=workers,
            )
            run_suite(console, suite, goals, settings, out or json_file)
        except (EvaluationError, SuiteError, CheckpointError) as error:
            refuse(console, error)
        return
    try:
        settings = EvaluationSettings.of_model(
            source.model,
            task=task,
            episodes=episodes,
            first_seed=first_seed,
            sai=sai,
            latency=latency or "measured",
            control=control,
            follow=follow,
            policy=source.policy,
            encoder=source.encoder,
            video_steps=video_steps,
            action_steps=action_steps,
            workers=workers,
            disturb=disturb,
            condition=condition,
            record=replay_log,
        )
        check_settings(settings)
    except EvaluationError as error:
        refuse(console, error)
    report = run_with_progress(settings, console)
    console.print(as_table(report))
    write_json(console, report, json_file)
    if replay_log is not None:
        console.print(f"replay log: {replay_log}", soft_wrap=True)
    if video is not None:
        film_episode(settings, first_seed, video)
        console.print(f"video of seed {first_seed}: {video}")


def run_with_progress(settings: EvaluationSettings, console: PlainConsole) -> dict[str, Any]:
    """`run_evaluation` with a bar that shows the success rate so far."""
    text = description_column()
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"{settings.task}, {settings.control}", total=settings.episodes)
        counts = {"done": 0, "succeeded": 0}

        def on_episode(result: EpisodeResult) -> None:
            counts["done"] += 1
            counts["succeeded"] += result.succeeded
            rate = 100.0 * counts["succeeded"] / counts["done"]
            progress.update(bar, advance=1, description=f"{settings.task}, {settings.control}: {rate:.0f} % succeed")

        return run_evaluation(settings, on_episode)


def as_table(report: dict[str, Any]) -> Table:
    """The report for people; the JSON file has all of it."""
    title = f"{report['task']}, {report['control']}, {report['sai']}, latency {report['latency']}"
    blocking = " / ".join(text(report["blocking_ms"][name], "{:.0f}") for name in ("p50", "p95", "p99"))
    surrogate, copying = (text(report[name], "{:.3f}") for name in ("surrogate_error", "copy_error"))
    rows = {
        "succeeded": f"{report['successes']} of {report['episodes']}",
        "success rate, Wilson 95 %": f"{100 * report['success_rate']:.0f} % ({percent(report['wilson95'], 0)})",
        "blocking p50 / p95 / p99": f"{blocking} ms",
        "idle": text(report["idle_fraction"], "{:.1%}"),
        "stalls": f"{report['stalls']} in {report['chunks']} chunks",
        "surrogate error (copying)": f"{surrogate} ({copying})",
        "time to success": text(report["seconds_to_success"], "{:.1f} s"),
    }
    warnings = ([f"warning, {count} times, such as", warning] for warning, count in report["warnings"].items())
    return Rows(["what", "value"], [*map(list, rows.items()), *warnings]).table(title)
