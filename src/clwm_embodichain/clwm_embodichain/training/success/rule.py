"""When an estimate says that a task is done, and how often it is wrong: counted over courses of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK_LOOKS = 2  # looks from one chunk's observation to the next


@dataclass(frozen=True)
class Counted:
    """false_done of courses: called done while the goal did not hold. missed_done of held: courses in which it held for
    as many chunks as it takes to be called done, and none that was called done.
    """

    false_done: int
    courses: int
    missed_done: int
    held: int


def counted(probability: ArrayLike, holds: ArrayLike, course: ArrayLike, threshold: float, chunks: int) -> Counted:
    """Of looks at courses, each (n,), in order of time: every second look is a chunk's, and the first call of a course
    ends it.
    """
    probability, holds, course = np.asarray(probability), np.asarray(holds, dtype=bool), np.asarray(course)
    false_done = missed_done = held = 0
    numbers = np.unique(course)
    for number in numbers:
        of_this = np.flatnonzero(course == number)[::CHUNK_LOOKS]
        truth = holds[of_this]
        called = _first_run(probability[of_this] >= threshold, chunks)
        held_from = _first_run(truth, chunks)
        held += held_from is not None
        missed_done += held_from is not None and called is None
        false_done += called is not None and not truth[called]
    return Counted(false_done, len(numbers), missed_done, held)


def choose_threshold(
    probability: ArrayLike, holds: ArrayLike, course: ArrayLike, chunks: int, false_share: float
) -> float:
    """The lowest threshold with at most this share of courses called done wrongly; the highest tried when none has."""
    grid = [*np.round(np.arange(0.5, 0.99, 0.02), 2), 0.99, 0.995]
    for threshold in grid:
        found = counted(probability, holds, course, threshold, chunks)
        if found.false_done <= false_share * found.courses:
            return float(threshold)
    return float(grid[-1])


def _first_run(says: NDArray[np.bool_], length: int) -> int | None:
    """Index at which so many in a row are complete for the first time."""
    row = 0
    for index, one in enumerate(says):
        row = row + 1 if one else 0
        if row == length:
            return index
    return None
