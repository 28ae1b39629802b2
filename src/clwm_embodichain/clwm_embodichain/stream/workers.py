"""What an engine asks of its simulation workers, wherever they run and however their trajectories travel."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.episodes.choices import GoalChoice
from clwm_embodichain.episodes.features import FeatureEpisode
from clwm_embodichain.episodes.schedule import Schedule

SLOTS = 2  # trajectories of a worker that the learner has yet to take: one is made while the other waits


def told_type(choices: int) -> np.dtype:
    """What a worker tells: the seed it goes on with, episodes that succeeded and failed of each choice, seconds it
    waited because all its slots were full, and signs of life.
    """
    each = (choices,)
    return np.dtype(
        [
            ("next_seed", np.int64),
            ("made", np.int64, each),
            ("failed", np.int64, each),
            ("waited", np.float64),
            ("beats", np.int64),
        ]
    )


class SimulationWorkers(AbstractContextManager):
    """Workers 0..count-1, which play seeds worker, worker + count, ... after a first one, each seed once.

    Used by one thread, as a context manager: entering starts them, leaving ends them. Whoever uses them replaces those
    that are lost. told: (count,) of `told_type`, which outlives the context.
    """

    count: int
    choices: tuple[GoalChoice, ...]
    told: NDArray[np.void]

    @abstractmethod
    def follow(self, schedule: Schedule) -> None:
        """Choose the goals of episodes that are begun from now on by this one, as `Schedule.choose(seed)` says."""

    @abstractmethod
    def replace(self, worker: int) -> None:
        """End a worker at once, whatever it does, and start another, which goes on with its next seed.

        An unfinished episode is lost; what was finished can still be taken.
        """

    @abstractmethod
    def ending(self, worker: int) -> str | None:
        """How a worker came to its end, to go on from `simulation worker 3 ...`; None while it runs."""

    def listen(self) -> None:
        """Hear what the workers tell; called again and again, before the others."""

    @abstractmethod
    def take(self) -> FeatureEpisode | None:
        """A trajectory that is ready, each once and the workers in turn; None when there is none."""
