"""`clwm recordings` and `clwm label`: what was recorded, and what people say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clwm_common.recordings.labels import Labels, labels_path, outcome
from clwm_common.recordings.reader import Recording, RecordingError, read_recording, recording_files
from clwm_common.terminal.console import PlainConsole


def recordings(
    places: Annotated[list[Path] | None, typer.Argument(help="recordings, or folders of them")] = None,
) -> None:
    """List recordings: how long, what was asked for, how it ended, when a human helped, and their labels.

    Ends with 1 when one of them cannot be read.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    broken: list[str] = []
    try:
        files = recording_files(places or [Path("out/recordings")])
    except RecordingError as error:
        console.error(error)
        raise typer.Exit(2) from None
    for path in files:
        try:
            recording, labels = read_recording(path), Labels.of(path)
        except RecordingError as error:
            broken.append(str(error))
            continue
        console.print(_line(recording, labels))
    for problem in broken:
        console.marked("cannot be read:", "yellow", problem)
    if broken:
        raise typer.Exit(1)


def label(
    places: Annotated[list[Path], typer.Argument(help="recordings, or folders of them")],
    success: Annotated[bool | None, typer.Option("--success/--failure", help="goes before the world's verdict")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="a word to find it by; may be given again")] = None,
    note: Annotated[list[str] | None, typer.Option(help="a sentence about it; may be given again")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="first take back all that was said before")] = False,
) -> None:
    """Say of recordings how they ended, and what they show. The recordings themselves stay as they are."""
    console = PlainConsole(highlight=False, soft_wrap=True)
    if success is None and not tag and not note and not clear:
        raise typer.BadParameter("say something: --success, --failure, --tag WORD, --note SENTENCE or --clear")
    try:
        files = recording_files(places)
        # All or none: a name that was mistyped must not leave the others labelled.
        given = {path: Labels() if clear else Labels.of(path) for path in files if read_recording(path)}
    except RecordingError as error:
        console.error(error)
        raise typer.Exit(2) from None
    for path, before in given.items():
        labels = before.added(success, tag or (), note or ())
        if labels == Labels():
            labels_path(path).unlink(missing_ok=True)
        else:
            labels.save(path)
        console.print(f"{path.name}: {_words(labels) or 'no labels'}")


def _line(recording: Recording, labels: Labels) -> str:
    parts = [f"{recording.seconds:.1f} s", f"“{recording.instruction}”", outcome(recording, labels) or "not judged"]
    if recording.interventions:
        times = "intervention" if recording.interventions == 1 else "interventions"
        parts.append(f"{recording.interventions} {times} of {recording.human_seconds:.1f} s")
    if not recording.has_index:
        parts.append("its recorder was killed")
    words = f" [{words}]" if (words := _words(labels)) else ""
    return f"{recording.path.name}: {', '.join(parts)}{words}"


def _words(labels: Labels) -> str:
    said = [] if labels.success is None else ["success" if labels.success else "failure"]
    return ", ".join([*said, *labels.tags, *(f"“{note}”" for note in labels.notes)])
