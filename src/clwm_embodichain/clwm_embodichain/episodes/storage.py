"""Recorded episodes: what was seen, what the expert wanted, what was sent. One npz file each, no pickles."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS

IMAGE_STRIDE = 4  # rows from one set of pictures to the next: 0.2 s
FORMAT_VERSION = 1
_TEXT = ("instruction", "task")


class EpisodeError(ValueError):
    """An episode file that cannot be used; the message names the file, the array and what was expected."""


@dataclass(frozen=True)
class Episode:
    """One episode of T rows 0.05 s apart with N sets of pictures, taken at rows `image_rows` = 0, 4, 8, ...

    Row j of `commands` is the expert's wish for time j * 0.05 s, seen from where the arms were sent the row before; row
    j of `executed` is what was sent, disturbed on purpose; row j of `states` is what was measured then.
    """

    images: NDArray[np.uint8]  # (N, cameras, height, width, 3) RGB; head, left_wrist, right_wrist
    image_rows: NDArray[np.int64]  # (N,)
    plans: NDArray[np.float32]  # (N, 16, 30)
    commands: NDArray[np.float32]  # (T, 30)
    executed: NDArray[np.float32]  # (T, 30)
    states: NDArray[np.float32]  # (T, 30)
    keypoints: NDArray[np.float32]  # (N, K, 3) world, in the order of clwm_sim.world.KEYPOINTS
    keypoint_visible: NDArray[np.bool_]  # (N, K) the point's object takes part in the task
    camera_pose: NDArray[np.float32]  # (N, cameras, 4, 4) world-from-camera, OpenCV convention
    success: bool
    instruction: str
    task: str
    seed: int

    def save(self, path: str | Path) -> None:
        """Write to `path`, which appears only when complete. Raises EpisodeError when the arrays disagree."""
        path = Path(path)
        _check(self, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                values = {field.name: getattr(self, field.name) for field in fields(self)}
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
            raise EpisodeError(f"episode {path} does not exist; record it with `clwm record`") from None
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise EpisodeError(f"episode {path} is damaged ({error}); delete it and record its seed again") from None
        version = arrays.pop("format_version", None)
        if version is None or int(version) != FORMAT_VERSION:
            raise EpisodeError(f"episode {path} has format {version}; expected {FORMAT_VERSION}: record it again")
        expected = {field.name for field in fields(cls)}
        if missing := sorted(expected - set(arrays)):
            raise EpisodeError(f"episode {path} lacks {', '.join(missing)}; record it again")
        scalars = {name: str(arrays[name]) for name in _TEXT}
        scalars |= {"success": bool(arrays["success"]), "seed": int(arrays["seed"])}
        episode = cls(**{name: scalars.get(name, arrays[name]) for name in expected})
        _check(episode, path)
        return episode


def episode_path(directory: str | Path, task: str, seed: int) -> Path:
    """`<directory>/<task>/<seed>.npz`."""
    return Path(directory) / task / f"{seed}.npz"


def episode_files(directory: str | Path, task: str) -> list[Path]:
    """The files of one task in order of their seeds. Raises EpisodeError when there are none."""
    found = [path for path in (Path(directory) / task).glob("*.npz") if path.stem.isdigit()]
    if not found:
        raise EpisodeError(f"no episodes of '{task}' under {directory}; record some with `clwm record`")
    return sorted(found, key=lambda path: int(path.stem))


def load_episodes(directory: str | Path, task: str) -> Iterator[Episode]:
    """One after the other, in order of their seeds."""
    for path in episode_files(directory, task):
        yield Episode.load(path)


def _check(episode: Episode, path: Path) -> None:
    rows, sets = episode.commands.shape[0], episode.image_rows.shape[0]
    cameras = episode.images.shape[1] if episode.images.ndim == 5 else 0
    points = episode.keypoints.shape[1] if episode.keypoints.ndim == 3 else 0
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "images": (np.uint8, (sets, cameras, *episode.images.shape[2:4], 3)),
        "image_rows": (np.int64, (sets,)),
        "plans": (np.float32, (sets, CHUNK_ROWS, ACTION_DIM)),
        "commands": (np.float32, (rows, ACTION_DIM)),
        "executed": (np.float32, (rows, ACTION_DIM)),
        "states": (np.float32, (rows, ACTION_DIM)),
        "keypoints": (np.float32, (sets, points, 3)),
        "keypoint_visible": (np.bool_, (sets, points)),
        "camera_pose": (np.float32, (sets, cameras, 4, 4)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(episode, name)
        if array.dtype != dtype or array.shape != shape:
            raise EpisodeError(
                f"episode {path}: {name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {shape}"
            )
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise EpisodeError(f"episode {path}: {name} contains numbers that are not finite; record it again")
    if not np.array_equal(episode.image_rows, np.arange(0, rows, IMAGE_STRIDE)):
        raise EpisodeError(f"episode {path}: image_rows must be 0, {IMAGE_STRIDE}, ... below {rows}")
