"""Learners as Ray actors on any machine of a cluster, which take every step together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from clwm_embodichain.cluster.learner import Learner, free_port, packed, unpacked
from clwm_embodichain.cluster.session import ClusterError
from clwm_embodichain.training.loop import means
from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.streams import ObservationStreams
from clwm_embodichain.training.policy.trainer import TrainingSettings
from clwm_policy.model.clwm import Clwm

_PLACE = 180.0  # s within which the cluster has to have room for all
_LOOPBACK = "127.0.0.1"


class LearnerActor(Learner):
    """A learner on the machine where Ray puts it."""

    def address(self) -> str:
        """Of its machine."""
        return ray.util.get_node_ip_address()

    def free_port(self) -> int:
        """On its machine."""
        return free_port(self.address())


class LearnerGroup:
    """To a training loop it is one trainer. A step is one of all learners, on equal parts of what the streams show."""

    def __init__(
        self,
        count: int,
        threads: int,
        model: Clwm,
        streams: ObservationStreams,
        coding: Coding,
        settings: TrainingSettings,
        clock: Callable[[], float] = time.monotonic,
        goals: Sequence[str] = (),
    ) -> None:
        """count: of learners, each on a GPU where the cluster has as many, else on `threads` cores.

        Raises ValueError when the streams cannot be shared equally, and ClusterError when there is no room.
        """
        if settings.streams % count:
            raise ValueError(f"{settings.streams} streams cannot be shared equally by {count} learners; see --streams")
        self._streams, self._settings, self._clock = streams, settings, clock
        self._average = deepcopy(model).eval()
        self.steps_done, self.seconds, self.skipped = 0, 0.0, 0
        self._state: dict[str, Any] | None = None
        gpus = int(ray.cluster_resources().get("GPU", 0) >= count)
        actor = ray.remote(LearnerActor).options(num_cpus=threads, num_gpus=gpus, scheduling_strategy="SPREAD")
        self._learners = [actor.remote(rank, count, threads, model, coding, settings, goals) for rank in range(count)]
        self._join()

    @property
    def progress(self) -> float:
        return self._settings.progress(self.steps_done, self.seconds)

    def step(self) -> dict[str, float] | None:
        """Like `Trainer.step`; raises ClusterError when a learner was lost."""
        began = self._clock()
        count = len(self._learners)
        shown = [self._streams.next() for _ in range(self._settings.segment)]
        parts = [[each.part(rank, count) for each in shown] for rank in range(count)]
        found = self._all(
            [learner.step.remote(self.seconds, part) for learner, part in zip(self._learners, parts, strict=True)]
        )
        is_taken = found[0] is not None
        self.seconds += self._clock() - began
        self.steps_done += is_taken
        self.skipped += not is_taken
        self._state = None
        return means(found) if is_taken else None

    def state(self) -> dict[str, Any]:
        """For the states on disk, which any number of learners can go on from, the one without a cluster too."""
        if self._state is None:
            state = unpacked(self._all([self._learners[0].state.remote()])[0])
            self._state = state | {"seconds": self.seconds, "streams": self._streams.state()}
        return self._state

    def resume(self, state: dict[str, Any]) -> None:
        """The streams start afresh."""
        shared = ray.put(packed(state))
        self._all([learner.resume.remote(shared) for learner in self._learners])
        self.steps_done, self.seconds = int(state["steps_done"]), float(state["seconds"])
        self._state = None

    @property
    def ema(self) -> Clwm:
        """The average of the weights: the model to keep."""
        self._average.load_state_dict(self.state()["ema"])
        return self._average

    def _join(self) -> None:
        placed = [learner.address.remote() for learner in self._learners]
        there, missing = ray.wait(placed, num_returns=len(placed), timeout=_PLACE)
        if missing:
            raise ClusterError(
                f"only {len(there)} of {len(placed)} learners have a place in the cluster after {_PLACE:.0f} s; ask "
                "for fewer --learners, --workers or --threads, or add machines"
            )
        addresses = self._all(placed)
        with tempfile.TemporaryDirectory() as folder:
            meeting = f"file://{folder}/learners"
            if addresses[0] != _LOOPBACK:
                meeting = f"tcp://{addresses[0]}:{self._all([self._learners[0].free_port.remote()])[0]}"
            joining = zip(self._learners, addresses, strict=True)
            self._all([learner.join.remote(meeting, address) for learner, address in joining])

    def _all(self, answers: list[Any]) -> list[Any]:
        try:
            return ray.get(answers)
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError:
            raise ClusterError(
                "a learner was lost, or the machine that it ran on; the same command goes on from the last state"
            ) from None
