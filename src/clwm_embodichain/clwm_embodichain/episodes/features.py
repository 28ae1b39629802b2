"""Recorded episodes with their pictures replaced by the frozen encoder's features, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from clwm_common.actions import ACTION_DIM
from clwm_common.terminal.console import description_column
from clwm_embodichain.episodes.storage import Episode, kind_of

ImageEncoder = Callable[[NDArray[np.uint8]], NDArray[np.float16]]


class PolicyDataError(RuntimeError):
    """Training data that is missing or does not fit together; the message says what to record or encode again."""


@dataclass(frozen=True)
class FeatureEpisode:
    """One successful episode as the policy's trainer needs it.

    asked: (n,) which of `instructions` and `goals` holds at the pictures. features: (n, cameras, rows, columns, C)
    float16 at rows `image_rows` (n,). plans: (n, 16, 30) what the expert would command from there on if nothing
    disturbed it; executed: (T, 30) what was commanded, with noise; states: (T, 30) measured at the same instants.
    channels: (30,) which of them mean something; the others are 0. weights: (T,) what imitating a row counts; None: 1.
    references, referents: as in an Episode.
    """

    scene: str
    goals: tuple[str, ...]
    instructions: tuple[str, ...]
    seed: int
    asked: NDArray[np.int64]
    image_rows: NDArray[np.int64]
    features: NDArray[np.float16]
    plans: NDArray[np.float32]
    executed: NDArray[np.float32]
    states: NDArray[np.float32]
    channels: NDArray[np.bool_] = field(default_factory=lambda: np.ones(ACTION_DIM, bool))
    weights: NDArray[np.float32] | None = None
    references: tuple[str, ...] = ()
    referents: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls, episode: Episode, features: NDArray[np.float16], weights: NDArray[np.float32] | None = None
    ) -> FeatureEpisode:
        """`episode` with `features` in place of its pictures. weights: None: 1 of each row that may be imitated."""
        if weights is None and not (imitable := episode.imitable).all():
            weights = imitable.astype(np.float32)
        own = {one.name for one in fields(cls)} - {"features", "weights"}
        return cls(features=features, weights=weights, **{name: getattr(episode, name) for name in own})

    def in_each_look(self, looks: int) -> list[FeatureEpisode]:
        """Episodes with the features of one look each, where `features` has those of all behind one another (n, looks x
        cameras, ...).
        """
        return [replace(self, features=part) for part in np.split(self.features, looks, axis=1)]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each goal."""
        return tuple(kind_of(goal) for goal in self.goals)


def encoded_once(images: NDArray[np.uint8], cache: Path, encode: ImageEncoder) -> NDArray[np.float16]:
    """Features of sets of pictures (n, cameras, height, width, 3), from `cache` where the same ones were encoded."""
    path = cache / f"{hashlib.sha256(np.ascontiguousarray(images)).hexdigest()[:24]}.npy"
    if path.exists():
        return np.load(path, allow_pickle=False)
    features = np.stack([encode(pictures) for pictures in images])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.save(stream, features)
    partial.replace(path)
    return features


def encode_features(files: list[Path], cache: Path, encode: ImageEncoder, progress: bool = True) -> None:
    """Encode the pictures of every episode that has no features in `cache` yet.

    An interrupted run loses at most one episode: files appear under their name only when complete.
    """
    missing = [path for path in files if not _cached(cache, path).exists()]
    columns = (description_column(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        for path in bar.track(missing, description="encoding episodes"):
            features = np.stack([encode(image_set) for image_set in Episode.load(path).images])
            target = _cached(cache, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.save(stream, features)
            partial.replace(target)


def load_episodes(files: list[Path], cache: Path) -> Iterator[FeatureEpisode]:
    """Read the successful episodes among `files` with their cached features.

    Raises PolicyDataError when features are missing or were made from other pictures.
    """
    for path in files:
        episode = Episode.load(path)
        if not episode.success:
            continue
        features_file = _cached(cache, path)
        if not features_file.exists():
            raise PolicyDataError(f"no features for {path} in {cache}; encode the episodes first")
        try:
            features = np.load(features_file, allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise PolicyDataError(f"{features_file} is damaged ({error}); delete it and encode again") from None
        if len(features) != len(episode.image_rows):
            raise PolicyDataError(
                f"{features_file} holds {len(features)} features for {len(episode.image_rows)} pictures; "
                "delete it and encode again"
            )
        yield FeatureEpisode.of(episode, features)


def _cached(cache: Path, episode: Path) -> Path:
    return cache.joinpath(*episode.parts[-3:-1], f"{episode.stem}.npy")
