"""`clwm replay`: does a recorded episode still give the same chunks, bit for bit?"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress

from clwm_common.files.model_files import ModelFiles
from clwm_common.terminal.console import PlainConsole, description_column

UNTRAINED = "random-"  # what the hash of untrained weights begins with; the rest is their seed


def replay(
    file: Annotated[Path, typer.Argument(help="of `clwm eval --replay-log`, `clwm up --replay-log` or `clwm demo`")],
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = "nano",
    policy: Annotated[Path | None, typer.Option(help="another checkpoint (.safetensors) than the model's")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the result here")] = None,
) -> None:
    """Give the engine once more what it was given, and hold every chunk and report against what it answered then.

    Ends with 0 when all are the same bit for bit, with 1 and the first difference when one is not, and with 2 when the
    file cannot be replayed: it is damaged, lacks a topic, or was recorded with other weights or settings.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    # Here, since torch and rclpy take seconds to import and --help must not wait for them.
    from clwm_policy.backends.errors import BackendError
    from clwm_policy.engine.re_entry import ReEntryError
    from clwm_policy.loading import PolicySettings, load_engine
    from clwm_policy.model.checkpoint import CheckpointError
    from clwm_policy.model.language import LanguageError
    from clwm_policy.recording.episode_file import EpisodeFileError, as_recorded, check_facts, read_episode
    from clwm_policy.recording.episode_log import PlayedStopwatch
    from clwm_policy.recording.replay import replay as replay_entries

    try:
        facts, entries = read_episode(file)
        hash_ = facts["policy_sha256"]
        stopwatch = PlayedStopwatch()
        settings = PolicySettings(
            checkpoint=policy or ModelFiles.load(model).policy,
            sai=facts["sai"],
            video_steps=_number(file, facts, "video_steps"),
            action_steps=_number(file, facts, "action_steps"),
            untrained_seed=int(hash_.removeprefix(UNTRAINED)) if hash_.startswith(UNTRAINED) else None,
            evidence_fraction=_fraction(file, facts, "evidence_fraction"),
            # The bits are those of the backend that made them.
            backends=tuple(facts.get("backend", "").split()[:1]),
        )
        engine = load_engine(settings, stopwatch=stopwatch)
        warnings = check_facts(file, facts, engine.facts)
    except (EpisodeFileError, BackendError, CheckpointError, LanguageError, ReEntryError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    for warning in warnings:
        console.marked("note:", "yellow", warning)
    total = sum(entry.chunk is not None for entry in entries)
    columns = (description_column(), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("replaying", total=total)
        outcome = replay_entries(entries, engine, stopwatch, as_recorded, lambda: progress.advance(bar))
    if json_file is not None:
        result = {
            "file": file.name,
            "chunks": total,
            "same": outcome.chunks,
            "difference": None if outcome.difference is None else asdict(outcome.difference),
            "notes": warnings,
            "recorded_with": facts,
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=2, default=str) + "\n")
    if outcome.difference is not None:
        console.marked("different", "red", f"after {outcome.chunks} of {total} chunks: {outcome.difference}")
        raise typer.Exit(1)
    console.marked("same:", "green", f"{total} chunks, bit for bit")


def _fraction(file: Path, facts: dict[str, str], name: str) -> float:
    from clwm_policy.recording.episode_file import EpisodeFileError

    try:
        value = float(facts[name])
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise EpisodeFileError(f"{file}: {name} is '{facts[name]}'; expected 0 to 1: record it again")
    return value


def _number(file: Path, facts: dict[str, str], name: str) -> int:
    from clwm_policy.recording.episode_file import EpisodeFileError

    if not facts[name].isdecimal():
        raise EpisodeFileError(f"{file}: {name} is '{facts[name]}'; expected a whole number: record it again")
    return int(facts[name])
