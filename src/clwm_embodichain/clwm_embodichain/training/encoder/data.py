"""Pictures with what is true in them, in shards on disk that one process writes while another one trains on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.training.encoder.roles import ASKED, OWNERS, ROLES

SEGMENT_STRIDE = 4  # px from one look at what a picture shows to the next
_PICTURES = ".pictures.npy"


class EncoderDataError(RuntimeError):
    """Training pictures that are missing or damaged; the message names the file and the command that makes them."""


@dataclass(frozen=True)
class Frames:
    """States of the world, each in `looks` different looks as all cameras see them, with what is true.

    images: (n, looks, 3, height, width, 3) uint8, cameras in the order of CAMERAS; poses: (n, roles, 5) and present:
    (n, roles) as in `roles.Truth`; pixels: (n, looks, 3, points, 2) as (u, v), NaN behind the camera; segments:
    (n, looks, 3, height / 4, width / 4) uint8, numbers of `roles.SEGMENTS`.
    """

    images: NDArray[np.uint8]
    poses: NDArray[np.float32]
    present: NDArray[np.bool_]
    pixels: NDArray[np.float32]
    segments: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def points_present(self) -> NDArray[np.bool_]:
        """(n, points): whether the object that a point belongs to is there."""
        return self.present[:, OWNERS]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """(n, roles, 5): which numbers of the poses mean something."""
        return self.present[..., None] & ASKED

    def take(self, indices: object) -> Frames:
        """Those of these numbers, or of a slice."""
        return Frames(*(getattr(self, field.name)[indices] for field in fields(self)))


def stack(parts: Iterable[Frames]) -> Frames:
    """Several sets of frames as one. Raises EncoderDataError when there are none."""
    parts = list(parts)
    if not parts:
        raise _nothing_there("no pictures found")
    return Frames(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Frames)))


def write_shard(path: Path, frames: Frames) -> None:
    """Write `path`, an .npz, and its pictures beside it; it is there when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    truth = {field.name: getattr(frames, field.name) for field in fields(frames) if field.name != "images"}
    pictures = path.with_suffix(_PICTURES)
    temporary = path.with_name(f".{path.stem}")
    with temporary.open("wb") as file:
        np.save(file, frames.images)
    temporary.replace(pictures)
    with temporary.open("wb") as file:
        np.savez(file, **truth)
    temporary.replace(path)


def read_shard(path: Path) -> Frames:
    """Read what `write_shard` wrote; pictures stay on disk until they are used, also when the file is removed.

    Raises EncoderDataError when it is missing or damaged.
    """
    try:
        images = np.load(path.with_suffix(_PICTURES), mmap_mode="r", allow_pickle=False)
        with np.load(path, allow_pickle=False) as data:
            frames = Frames(images, *(data[field.name] for field in fields(Frames) if field.name != "images"))
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise _nothing_there(f"{path} cannot be read ({error})") from error
    if frames.poses.shape[1] != len(ROLES):
        raise _nothing_there(f"{path} has {frames.poses.shape[1]} roles instead of {len(ROLES)}; remove it")
    if not np.isfinite(frames.poses).all():
        raise _nothing_there(f"{path}: its poses are not finite")
    return frames


def remove_shard(path: Path) -> None:
    """Remove a shard; whoever has read it keeps it."""
    path.unlink()
    path.with_suffix(_PICTURES).unlink()


def shards(folder: Path) -> list[Path]:
    """The whole ones, oldest first."""
    return sorted(folder.glob("*.npz"), key=lambda path: int(path.stem.rpartition("-")[2]))


class FramePool:
    """The shards of a folder, of which some may be added and removed all the time. `refresh` follows."""

    def __init__(self, folder: Path) -> None:
        """Raises EncoderDataError when there is no shard yet, or one is damaged."""
        self._folder = folder
        self._parts: dict[str, Frames] = {}
        self.refresh()
        if not self._parts:
            raise _nothing_there(f"{folder} has no pictures")

    def refresh(self) -> None:
        """Take in new shards and forget removed ones; the last ones are kept when all are removed."""
        found = {path.name: path for path in shards(self._folder)}
        known = {name: part for name, part in self._parts.items() if name in found} or self._parts
        for name, path in found.items():
            if name not in known:
                try:
                    known[name] = read_shard(path)
                except EncoderDataError:
                    if path.exists():  # it was not merely removed in the meantime
                        raise
        self._parts = known
        self._starts = np.cumsum([0, *(len(part) for part in known.values())])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def draw(self, rng: np.random.Generator, count: int) -> Frames:
        """So many states, each of the same probability."""
        indices = rng.integers(0, len(self), count)
        parts = list(self._parts.values())
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        return stack(
            parts[n].take(slice(i - self._starts[n], i - self._starts[n] + 1))
            for n, i in zip(numbers, indices, strict=True)
        )


def _nothing_there(what: str) -> EncoderDataError:
    return EncoderDataError(f"{what}; run python -m clwm_embodichain.training.encoder.render, which makes them")
