"""Pictures of several cameras to sets of one instant, and sets to requests. No ROS, no clock, no thread."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_EDGE = 1e-6  # s; stamps are whole nanoseconds, so that half a period is met only approximately
CLOCK_RESTART = 1.0  # s; no transport delays a picture by that much


@dataclass(frozen=True)
class ImageSet:
    """One picture of each camera, in the order of the synchroniser's cameras. stamp: of the oldest one."""

    stamp: float
    stamps: tuple[float, ...]
    pictures: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """The set for the request `chunk_id`, which wanted the instant `observe_at`."""

    chunk_id: int
    observe_at: float
    images: ImageSet


@dataclass(frozen=True)
class SynchroniserConfig:
    """frame_period: seconds between two pictures of a camera; skew_limit: largest spread of stamps within a set;
    silent_after: seconds without a picture before a camera counts as missing; depth: pictures kept of each camera."""

    cameras: tuple[str, ...]
    frame_period: float = 0.05
    skew_limit: float = 0.02
    silent_after: float = 1.0
    depth: int = 6

    def __post_init__(self) -> None:
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"cameras are {self.cameras}; expected at least one, each once")
        if self.depth < 2:
            raise ValueError(f"depth is {self.depth}; expected at least 2, or no set survives one late camera")
        for name in ("frame_period", "skew_limit", "silent_after"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a positive number of seconds")


@dataclass
class _Track:
    """Pictures of one camera, oldest first."""

    stamps: list[float] = field(default_factory=list)
    pictures: list[Any] = field(default_factory=list)

    def insert(self, stamp: float, picture: Any, depth: int) -> bool:
        place = bisect.bisect_left(self.stamps, stamp)
        duplicate = place < len(self.stamps) and self.stamps[place] == stamp
        if duplicate or (place == 0 and len(self.stamps) == depth):
            return False
        self.stamps.insert(place, stamp)
        self.pictures.insert(place, picture)
        del self.stamps[:-depth], self.pictures[:-depth]
        return True

    def nearest(self, stamp: float) -> int:
        place = bisect.bisect_left(self.stamps, stamp)
        around = [index for index in (place - 1, place) if 0 <= index < len(self.stamps)]
        return min(around, key=lambda index: abs(self.stamps[index] - stamp))


class Synchroniser:
    """Answers a request with the set nearest to its instant within half a frame period, else with the next one.

    One request waits at a time, the latest: the policy asks again only when it has given up the one before. Memory is
    bounded by `depth` pictures of each camera. Pictures may come late, twice or in any order.
    """

    def __init__(self, config: SynchroniserConfig) -> None:
        self.config = config
        self.ignored = 0
        self.clear()

    def clear(self) -> None:
        """Forget all pictures and the waiting request: what the cameras said before belongs to another time."""
        self._tracks = {camera: _Track() for camera in self.config.cameras}
        self._request: tuple[int, float] | None = None

    @property
    def is_waiting(self) -> bool:
        return self._request is not None

    def request(self, chunk_id: int, observe_at: float) -> Answer | None:
        """Ask for the instant `observe_at`; the answer if it can be had at once. Replaces a request still waiting."""
        self._request = (chunk_id, observe_at)
        return self._answer()

    def add(self, camera: str, stamp: float, picture: Any) -> Answer | None:
        """Take in a picture captured at `stamp`; the answer if a request was waiting for it.

        A stamp more than CLOCK_RESTART older than the newest means that the clock was set back: all is forgotten.
        Raises ValueError for an unknown camera.
        """
        if camera not in self._tracks:
            raise ValueError(f"camera '{camera}' is unknown; expected one of {', '.join(self._tracks)}")
        track = self._tracks[camera]
        if track.stamps and stamp < track.stamps[-1] - CLOCK_RESTART:
            self.clear()
            track = self._tracks[camera]
        if not track.insert(stamp, picture, self.config.depth):
            self.ignored += 1
            return None
        return self._answer()

    def without(self, answer: Answer, camera: str) -> Answer | None:
        """The request of `answer` once more, without the picture of `camera` in it; the answer if it can be had."""
        track = self._tracks[camera]
        stamp = answer.images.stamps[self.config.cameras.index(camera)]
        if stamp in track.stamps:
            place = track.stamps.index(stamp)
            del track.stamps[place], track.pictures[place]
        return self.request(answer.chunk_id, answer.observe_at)

    def may_answer(self, stamp: float) -> bool:
        """Whether a picture captured at `stamp` can be part of the answer that is waited for."""
        return self._request is not None and stamp >= self._request[1] - self._tolerance

    @property
    def _tolerance(self) -> float:
        """How far [s] from the instant asked for a set may be."""
        return self.config.frame_period / 2.0 + _EDGE

    def sets(self) -> list[ImageSet]:
        """All complete sets, oldest first: around each picture of the first camera, the nearest of the others."""
        tracks: Sequence[_Track] = list(self._tracks.values())
        if not all(track.stamps for track in tracks):
            return []
        found = []
        for reference in tracks[0].stamps:
            chosen = [track.nearest(reference) for track in tracks]
            stamps = tuple(track.stamps[index] for track, index in zip(tracks, chosen, strict=True))
            if max(stamps) - min(stamps) <= self.config.skew_limit + _EDGE:
                pictures = tuple(track.pictures[index] for track, index in zip(tracks, chosen, strict=True))
                found.append(ImageSet(min(stamps), stamps, pictures))
        return found

    def _answer(self) -> Answer | None:
        if self._request is None:
            return None
        chunk_id, observe_at = self._request
        sets = self.sets()
        near = [images for images in sets if abs(images.stamp - observe_at) <= self._tolerance]
        later = [images for images in sets if images.stamp > observe_at]
        if near:
            chosen = min(near, key=lambda images: (abs(images.stamp - observe_at), -images.stamp))
        elif later:
            chosen = min(later, key=lambda images: images.stamp)
        else:
            return None
        self._request = None
        return Answer(chunk_id, observe_at, chosen)

    def diagnose(self) -> str:
        """What keeps sets from completing although pictures of all cameras are there; empty when nothing does."""
        if not all(track.stamps for track in self._tracks.values()) or self.sets():
            return ""
        newest = {camera: track.stamps[-1] for camera, track in self._tracks.items()}
        first, last = min(newest, key=newest.__getitem__), max(newest, key=newest.__getitem__)
        return (
            f"pictures of '{first}' and '{last}' are {newest[last] - newest[first]:.3f} s apart, "
            f"more than skew_limit {self.config.skew_limit:g} s; trigger the cameras together, or raise skew_limit"
        )
