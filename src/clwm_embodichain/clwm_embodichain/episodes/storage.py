"""Recorded episodes: what was seen, what the expert wanted, what was sent. One npz file each, no pickles."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS
from clwm_common.recordings.corrections import CorrectionLabel

IMAGE_STRIDE = 4  # rows from one set of pictures to the next: 0.2 s
REFERENCES = 4  # sentences of an episode that say what is meant, whatever is done
FORMAT_VERSION = 2
_OPTIONAL = {"corrections", "held", "references", "referents"}
_TEXTS = ("instructions", "goals", "cameras", "scene", "expansion", "references")


class EpisodeError(ValueError):
    """An episode file that cannot be used; the message names the file, the array and what was expected."""


@dataclass(frozen=True)
class Episode:
    """One episode of T rows 0.05 s apart with N sets of pictures, taken at rows `image_rows` = 0, 4, 8, ...

    Row j of `commands` is the expert's wish for time j * 0.05 s, seen from where the arms were sent the row before; row
    j of `executed` is what was sent, disturbed on purpose; row j of `states` is what was measured then.
    It begins when the first of `goals` is asked for; another one may follow at a picture. The last is what `success` is
    about.
    """

    images: NDArray[np.uint8]  # (N, cameras, height, width, 3) RGB
    image_rows: NDArray[np.int64]  # (N,)
    plans: NDArray[np.float32]  # (N, 16, 30) what the expert would command from there on, undisturbed
    commands: NDArray[np.float32]  # (T, 30)
    executed: NDArray[np.float32]  # (T, 30)
    states: NDArray[np.float32]  # (T, 30)
    interventions: NDArray[np.bool_]  # (T,) commanded by a human, or by a recovery
    asked: NDArray[np.int64]  # (N,) which of `instructions` and `goals` holds at the pictures: 0, and more later
    instructions: tuple[str, ...]
    goals: tuple[str, ...]  # their names in the episode, such as place:red:blue
    cameras: tuple[str, ...]
    success: bool
    scene: str
    expansion: str  # the parts that were on, as `Expansion` writes them
    seed: int
    channels: NDArray[np.bool_] = field(default_factory=lambda: np.ones(ACTION_DIM, bool))  # (30,) that mean something
    corrections: NDArray[np.int8] | None = None  # (T,) a CorrectionLabel each, of an operator; None: nothing is said
    held: NDArray[np.bool_] | None = None  # (T,) arms that nobody was to move; None: nothing is said
    references: tuple[str, ...] = ()  # sentences of any of the scene's goals, asked for or not
    referents: NDArray[np.float32] | None = None  # (N, references, 2, 3) m of the things each names; NaN: none

    @property
    def kind(self) -> str:
        """Of the goal that was asked for first: what the episode was recorded for."""
        return kind_of(self.goals[0])

    @property
    def imitable(self) -> NDArray[np.bool_]:
        """(T,) rows that may be imitated: not those of held arms, nor of a correction that its operator discarded."""
        found = np.ones(len(self.executed), bool)
        if self.held is not None:
            found &= ~self.held
        if self.corrections is not None:
            found &= self.corrections != CorrectionLabel.DISCARDED
        return found

    def save(self, path: str | Path) -> None:
        """Write to `path`, which appears only when complete. Raises EpisodeError when the arrays disagree."""
        path = Path(path)
        _check(self, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                values = {one.name: getattr(self, one.name) for one in fields(self)}
                values = {name: value for name, value in values.items() if value is not None}
                values |= {name: np.array(values[name], dtype=np.str_) for name in _TEXTS}
                np.savez_compressed(file, format_version=FORMAT_VERSION, **values)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Episode:
        """Read and check an episode. Raises EpisodeError for a file that is missing, damaged or of another format."""
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise EpisodeError(f"episode {path} does not exist; record it with `clwm data record`") from None
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise EpisodeError(f"episode {path} is damaged ({error}); delete it and record its seed again") from None
        version = arrays.pop("format_version", None)
        if version is None or int(version) != FORMAT_VERSION:
            raise EpisodeError(f"episode {path} has format {version}; expected {FORMAT_VERSION}: record it again")
        names = {one.name for one in fields(cls)}
        if missing := sorted(names - set(arrays) - _OPTIONAL):
            raise EpisodeError(f"episode {path} lacks {', '.join(missing)}; record it again")
        values: dict[str, Any] = {name: arrays[name] for name in names & set(arrays)}
        for name in _TEXTS:
            if name not in arrays:
                continue
            text = arrays[name].tolist()
            values[name] = tuple(text) if isinstance(text, list) else text
        values |= {"success": bool(arrays["success"]), "seed": int(arrays["seed"])}
        episode = cls(**values)
        _check(episode, path)
        return episode


def episode_path(directory: str | Path, scene: str, kind: str, seed: int) -> Path:
    """`<directory>/<scene>/<kind>/<seed>.npz`."""
    return Path(directory) / scene / kind / f"{seed}.npz"


def episode_files(directory: str | Path, scene: str = "*", kind: str = "*") -> list[Path]:
    """The files of scenes and kinds of goals in order of their names and seeds. Raises EpisodeError for none."""
    found = [path for path in Path(directory).glob(f"{scene}/{kind}/*.npz") if path.stem.isdigit()]
    if not found:
        raise EpisodeError(f"no episodes of '{scene}/{kind}' under {directory}; record some with `clwm data record`")
    return sorted(found, key=lambda path: (*path.parts[:-1], int(path.stem)))


def _check(episode: Episode, path: Path) -> None:
    rows, sets = episode.commands.shape[0], episode.image_rows.shape[0]
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "images": (np.uint8, (sets, len(episode.cameras), *episode.images.shape[2:4], 3)),
        "image_rows": (np.int64, (sets,)),
        "plans": (np.float32, (sets, CHUNK_ROWS, ACTION_DIM)),
        "commands": (np.float32, (rows, ACTION_DIM)),
        "executed": (np.float32, (rows, ACTION_DIM)),
        "states": (np.float32, (rows, ACTION_DIM)),
        "interventions": (np.bool_, (rows,)),
        "asked": (np.int64, (sets,)),
        "channels": (np.bool_, (ACTION_DIM,)),
    }
    if episode.corrections is not None:
        expected["corrections"] = (np.int8, (rows,))
    if episode.held is not None:
        expected["held"] = (np.bool_, (rows,))
    if episode.referents is not None:
        expected["referents"] = (np.float32, (sets, len(episode.references), 2, 3))
    for name, (dtype, shape) in expected.items():
        array = getattr(episode, name)
        if array.dtype != dtype or array.shape != shape:
            raise EpisodeError(
                f"episode {path}: {name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {shape}"
            )
        if array.dtype == np.float32 and name != "referents" and not np.isfinite(array).all():
            raise EpisodeError(f"episode {path}: {name} contains numbers that are not finite; record it again")
    if not np.array_equal(episode.image_rows, np.arange(0, rows, IMAGE_STRIDE)):
        raise EpisodeError(f"episode {path}: image_rows must be 0, {IMAGE_STRIDE}, ... below {rows}")
    asked, count = episode.asked.tolist(), len(episode.goals)
    if len(episode.instructions) != count or asked != sorted(asked) or set(asked) != set(range(count)):
        raise EpisodeError(
            f"episode {path}: asked is {asked}, of {count} goals and {len(episode.instructions)} instructions; "
            "expected each of them in turn"
        )


def kind_of(goal: str) -> str:
    """The kind of a goal by its name in an episode: `place` of `place:red:blue`."""
    return goal.partition(":")[0]
