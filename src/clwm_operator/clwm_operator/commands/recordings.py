"""`clwm recordings` and `clwm label`: what was recorded, and what people say of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from clwm_common.recordings.corrections import CorrectionLabel
from clwm_common.recordings.labels import Labels, labels_path, outcome
from clwm_common.recordings.reader import Recording, RecordingError, read_corrections, read_recording, recording_files
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
    discard: Annotated[
        list[int] | None, typer.Option(min=1, help="correction that nobody is to learn from, the first is 1; again")
    ] = None,
    recovery: Annotated[
        list[int] | None, typer.Option(min=1, help="correction that brought the task back; may be given again")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="first take back all that was said before")] = False,
) -> None:
    """Say of recordings how they ended, and what they show. The recordings themselves stay as they are.

    A correction is all that a human did between two turns of the policy.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    if success is None and not tag and not note and not discard and not recovery and not clear:
        raise typer.BadParameter(
            "say something: --success, --failure, --tag WORD, --note SENTENCE, --discard N, --recovery N or --clear"
        )
    said = dict.fromkeys(discard or (), CorrectionLabel.DISCARDED)
    if both := sorted(set(said) & set(recovery or ())):
        raise typer.BadParameter(f"correction {both[0]} is to be discarded, and a recovery; say one of them")
    said |= dict.fromkeys(recovery or (), CorrectionLabel.RECOVERY)
    try:
        files = recording_files(places)
        # All or none: a name that was mistyped must not leave the others labelled.
        given = {
            path: _corrected(path, Labels() if clear else Labels.of(path), said)
            for path in files
            if read_recording(path)
        }
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


def _corrected(path: Path, labels: Labels, said: dict[int, CorrectionLabel]) -> Labels:
    """said: what the corrections are, by their number. Raises RecordingError for one that is not there."""
    found = read_corrections(path) if said else []
    for number, label in said.items():
        if number > len(found):
            raise RecordingError(f"{path} has {len(found)} corrections, and {number} was named; see clwm recordings")
        labels = labels.corrected(replace(found[number - 1], label=label))
    return labels


def _words(labels: Labels) -> str:
    said = [] if labels.success is None else ["success" if labels.success else "failure"]
    said += [f"{count} {word}" for word, count in sorted(Counter(it.word for it in labels.corrections).items())]
    return ", ".join([*said, *labels.tags, *(f"“{note}”" for note in labels.notes)])
