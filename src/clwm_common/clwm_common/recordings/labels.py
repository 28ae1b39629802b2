"""What people say of a recording afterwards, in a small file beside it: `episode.mcap` has `episode.labels.json`.

Beside it, since the recording stays as it was, byte for byte, wherever it has been copied to or a sum has been made of
it; a label can be changed and taken back; and a file of gigabytes is not written for a word.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clwm_common.recordings.corrections import Correction, CorrectionLabel, replaced
from clwm_common.recordings.reader import Recording, RecordingError

_CORRECTIONS = "corrections"


@dataclass(frozen=True)
class Labels:
    """success: None when nobody says. tags: each once, sorted; notes: in the order in which they were made.

    corrections: those that somebody has labelled, each once, in order of time.
    """

    success: bool | None = None
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()

    def added(self, success: bool | None, tags: Sequence[str], notes: Sequence[str]) -> Labels:
        """With these as well; success None leaves the verdict as it is."""
        return replace(
            self,
            success=self.success if success is None else success,
            tags=tuple(sorted({*self.tags, *tags})),
            notes=(*self.notes, *notes),
        )

    def corrected(self, correction: Correction) -> Labels:
        """With what is said of this correction now."""
        return replace(self, corrections=replaced(self.corrections, correction))

    @classmethod
    def of(cls, recording: Path) -> Labels:
        """Those of a recording; empty when it has none. Raises RecordingError for a file that says something else."""
        path = labels_path(recording)
        try:
            given = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise RecordingError(f"{path} cannot be read ({error}); mend it, or delete it and label again") from None
        if not isinstance(given, dict) or set(given) | {_CORRECTIONS} != {"success", "tags", "notes", _CORRECTIONS}:
            raise RecordingError(f"{path} must have success, tags and notes; delete it and label again")
        success, tags, notes = given["success"], given["tags"], given["notes"]
        are_texts = isinstance(tags, list) and isinstance(notes, list) and all(type(it) is str for it in tags + notes)
        if success not in (None, True, False) or not are_texts:
            raise RecordingError(
                f"{path}: success is {success!r}; expected true, false or null, and texts in tags and notes; delete "
                "it and label again"
            )
        try:
            corrections = tuple(map(_correction, given.get(_CORRECTIONS, [])))
        except (TypeError, KeyError, ValueError):
            raise RecordingError(
                f"{path}: corrections are {given[_CORRECTIONS]!r}; expected a list of label (discarded or recovery), "
                "begin and end (ns); delete it and label again"
            ) from None
        return cls(success, tuple(tags), tuple(notes), corrections)

    def save(self, recording: Path) -> Path:
        """Write them beside the recording; returns where. Raises OSError."""
        path = labels_path(recording)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            partial.write_text(json.dumps(self._as_plain(), indent=2) + "\n")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def _as_plain(self) -> dict[str, Any]:
        said = [{"label": it.word, "begin": it.begin, "end": it.end} for it in self.corrections]
        plain = {"success": self.success, "tags": self.tags, "notes": self.notes}
        return plain | ({_CORRECTIONS: said} if said else {})


def labels_path(recording: Path) -> Path:
    """Where the labels of a recording are, when it has some."""
    return recording.with_suffix(".labels.json")


def outcome(recording: Recording, labels: Labels) -> str:
    """success or failure: what people say goes before the world's verdict; empty when nobody has judged."""
    if labels.success is not None:
        return "success" if labels.success else "failure"
    return recording.verdict


def _correction(given: Any) -> Correction:
    """Raises TypeError, KeyError or ValueError for what is none."""
    begin, end, label = given["begin"], given["end"], CorrectionLabel[given["label"].upper()]
    if type(begin) is not int or type(end) not in (int, type(None)) or not label:
        raise ValueError
    return Correction(begin, end, label)
