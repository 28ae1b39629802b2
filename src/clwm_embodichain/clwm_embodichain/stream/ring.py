"""Shared memory through which simulation processes hand fresh trajectories to a learner: bounded, nothing on disk.

Every writer has slots of its own, and every slot one writer and one reader, so that no lock is needed and a writer may
die at any instant: only a slot that is marked READY after it was filled is ever read.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS
from clwm_embodichain.episodes.features import FeatureEpisode
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, REFERENCES
from clwm_embodichain.stream.shared_memory import FOLDER, OwnedMemory
from clwm_embodichain.stream.workers import told_type

_FREE, _READY = 0, 1
_TEXT_BYTES = 2048
_TEXTS = ("scene", "goals", "instructions", "references")
_BY_ROW, _BY_PICTURE = ("executed", "states"), ("image_rows", "asked", "features", "plans")


class RingError(RuntimeError):
    """A ring that cannot be made, or a trajectory that cannot pass through it; the message says what to change."""


@dataclass(frozen=True)
class RingLayout:
    """writers: processes; slots: of each; rows: of the longest trajectory that fits, 0.05 s each; feature_shape:
    (cameras, rows, columns, channels) of one set of pictures; choices: goals that the writers choose from.
    """

    writers: int
    slots: int
    rows: int
    feature_shape: tuple[int, int, int, int]
    choices: int

    def head_type(self) -> np.dtype:
        return np.dtype([("stop", np.int64), ("shares", np.float64, (self.choices,))], align=True)

    def slot_type(self) -> np.dtype:
        pictures = -(-self.rows // IMAGE_STRIDE)
        return np.dtype(
            [
                ("state", np.int64),
                ("checksum", np.uint32),
                ("row_count", np.int32),
                ("picture_count", np.int32),
                ("seed", np.int64),
                ("texts", f"S{_TEXT_BYTES}"),
                ("image_rows", np.int64, (pictures,)),
                ("asked", np.int64, (pictures,)),
                ("features", np.float16, (pictures, *self.feature_shape)),
                ("referents", np.float32, (pictures, REFERENCES, 2, 3)),
                ("plans", np.float32, (pictures, CHUNK_ROWS, ACTION_DIM)),
                ("executed", np.float32, (self.rows, ACTION_DIM)),
                ("states", np.float32, (self.rows, ACTION_DIM)),
            ],
            align=True,
        )


class TrajectoryRing(AbstractContextManager):
    """`create` it in the learner, `attach` to it in the writers. Leaving the context releases it; the learner's end
    also removes it.

    writers: (writers,) of `told_type`, each kept by its writer.
    """

    def __init__(self, memory: SharedMemory, layout: RingLayout, owned: OwnedMemory | None) -> None:
        self.layout, self._memory, self._owned = layout, memory, owned
        self._last_writer, self._last_slots = -1, [-1] * layout.writers
        head, writers = layout.head_type(), told_type(layout.choices)
        self._head = np.ndarray((1,), head, memory.buf)
        self.writers = np.ndarray((layout.writers,), writers, memory.buf, head.itemsize)
        after = head.itemsize + layout.writers * writers.itemsize
        self._slots = np.ndarray((layout.writers, layout.slots), layout.slot_type(), memory.buf, after)

    @classmethod
    def create(cls, layout: RingLayout) -> TrajectoryRing:
        """Raises RingError when the machine has less shared memory than that."""
        size = layout.writers * (told_type(layout.choices).itemsize + layout.slots * layout.slot_type().itemsize)
        size += layout.head_type().itemsize
        # The file of a ring is sparse: without this look, writing into a full /dev/shm would end in a bus error.
        if FOLDER.exists():
            room = os.statvfs(FOLDER)
            if room.f_bavail * room.f_frsize < size:
                free = room.f_bavail * room.f_frsize / 1e6
                raise RingError(
                    f"the ring needs {size / 1e6:.0f} MB of shared memory and {FOLDER} has {free:.0f} MB free; "
                    "use fewer workers or, in a container, start it with a larger --shm-size"
                )
        owned = OwnedMemory(size)
        return cls(owned.memory, layout, owned)

    @classmethod
    def attach(cls, name: str, layout: RingLayout) -> TrajectoryRing:
        return cls(SharedMemory(name), layout, None)

    def __exit__(self, *_: object) -> None:
        # Arrays over the memory keep it mapped.
        del self._head, self.writers, self._slots
        if self._owned is not None:
            self._owned.close()
        else:
            self._memory.close()

    @property
    def name(self) -> str:
        """What the writers attach to."""
        return self._memory.name

    @property
    def is_stopped(self) -> bool:
        """Whether the writers are asked to end."""
        return bool(self._head["stop"][0])

    def stop(self) -> None:
        """Ask the writers to end."""
        self._head["stop"] = 1

    @property
    def shares(self) -> NDArray[np.float64]:
        """(choices,) of the schedule by which the writers choose their next goals."""
        return self._head["shares"][0]

    def count(self, writer: int, name: str, amount: float, choice: int | None = None) -> None:
        """Add to what `writer` tells; of one of its choices, where it tells of each."""
        where = writer if choice is None else (writer, choice)
        self.writers[name][where] += amount

    def free_slot(self, writer: int) -> int | None:
        """A slot that `writer` may fill, None when the learner has yet to take what is in all of them."""
        free = np.flatnonzero(self._slots["state"][writer] == _FREE)
        return int(free[0]) if len(free) else None

    def write(self, writer: int, slot: int, episode: FeatureEpisode) -> None:
        """Fill one of the writer's own free slots. Raises RingError for a trajectory that does not fit."""
        target, rows, pictures = self._slots[writer, slot], len(episode.executed), len(episode.image_rows)
        if rows > self.layout.rows or episode.features.shape[1:] != self.layout.feature_shape:
            raise RingError(
                f"trajectory of seed {episode.seed}: {rows} rows, features {episode.features.shape[1:]}; this ring "
                f"takes at most {self.layout.rows} rows, features {self.layout.feature_shape}"
            )
        texts = json.dumps({name: getattr(episode, name) for name in _TEXTS}).encode()
        if len(texts) > _TEXT_BYTES:
            raise RingError(
                f"trajectory of seed {episode.seed}: instructions and goals, {list(episode.instructions)}, are longer "
                f"than {_TEXT_BYTES} bytes"
            )
        target["texts"] = texts
        target["seed"], target["row_count"], target["picture_count"] = episode.seed, rows, pictures
        for name in _BY_ROW + _BY_PICTURE:
            array = getattr(episode, name)
            target[name][: len(array)] = array
        target["referents"][:pictures] = np.nan
        if episode.referents is not None:
            target["referents"][:pictures, : len(episode.references)] = episode.referents
        target["checksum"] = _checksum(target)
        target["state"] = _READY

    def take(self) -> FeatureEpisode | None:
        """A trajectory that is ready, copied out of its slot, which is free again; None when there is none.

        Writers, and the slots of each, take turns: a learner that is slow hears of all of them.
        """
        ready = np.argwhere(self._slots["state"] == _READY)
        for writer, slot in sorted(ready.tolist(), key=self._turns_until):
            source = self._slots[writer, slot]
            # A processor may show the mark before the words it stands for; they are there at the next look.
            if source["checksum"] != _checksum(source):
                continue
            texts = json.loads(bytes(source["texts"]))
            references = tuple(texts["references"])
            episode = FeatureEpisode(
                scene=texts["scene"],
                goals=tuple(texts["goals"]),
                instructions=tuple(texts["instructions"]),
                seed=int(source["seed"]),
                references=references,
                referents=_filled(source, "referents")[:, : len(references)].copy() if references else None,
                **{name: _filled(source, name).copy() for name in _BY_ROW + _BY_PICTURE},
            )
            source["state"] = _FREE
            self._last_writer, self._last_slots[writer] = writer, slot
            return episode
        return None

    def _turns_until(self, place: list[int]) -> tuple[int, int]:
        writer, slot = place
        layout = self.layout
        return (writer - self._last_writer - 1) % layout.writers, (slot - self._last_slots[writer] - 1) % layout.slots


def _filled(slot: np.void, name: str) -> NDArray:
    return slot[name][: slot["row_count" if name in _BY_ROW else "picture_count"]]


def _checksum(slot: np.void) -> int:
    check = zlib.crc32(slot["seed"].tobytes() + slot["texts"])
    for name in (*_BY_ROW, *_BY_PICTURE, "referents"):
        check = zlib.crc32(np.ascontiguousarray(_filled(slot, name)), check)
    return check
