"""Who may take a role that only one process may have: claims are told to all, and every process decides alike.

No ROS and no clock: time comes in as an argument, claims of others by `hear`. With deliveries faster than half of
`listen` no two processes ever hold a role; slower ones are noticed when they come, and one of the two gives it back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import IntEnum


class Stage(IntEnum):
    """As in clwm_msgs/Claim."""

    FREE = 0
    WANTING = 1
    HOLDING = 2


@dataclass(frozen=True)
class Claim:
    """Who wants or holds a role. resources: what must have one master. since: s, on the clock of its host.

    participant: what the GIDs of all its publishers begin with, in hex. instance: a number that no other process has.
    """

    role: str
    resources: tuple[str, ...]
    node: str
    participant: str
    host: str
    pid: int
    since: float
    instance: int
    stage: Stage = Stage.FREE

    def collides_with(self, other: Claim) -> bool:
        """Whether both are of one role and share something that must have one master."""
        is_shared = self.role == other.role and not set(self.resources).isdisjoint(other.resources)
        return is_shared and self.instance != other.instance

    def precedes(self, other: Claim) -> bool:
        """The order by which two of the same stage are decided, the same for everybody."""
        return (self.since, self.instance) < (other.since, other.instance)

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"node '{self.node}' on host '{self.host}', process {self.pid}, since {when}"


def refusal(own: Claim, holder: Claim) -> str:
    """Why `own` may not go on, and what to do."""
    shared = ", ".join(name for name in own.resources if name in holder.resources)
    return (
        f"another {holder.role} has {shared}: {holder}; end that one (Ctrl-C where it was started, or kill "
        f"{holder.pid} on {holder.host}), or give this one a ROS_DOMAIN_ID of its own"
    )


class Contest:
    """One process's part in it. `claim` is to be told to all: whenever it has changed, and again every `lease` / 3.

    refused: the claim of another that was turned away, with the instant; None when there was none.
    """

    def __init__(self, own: Claim, listen: float, lease: float) -> None:
        """listen: s for which a newcomer listens. lease: s after which a silent process counts as dead."""
        self.claim = replace(own, stage=Stage.FREE)
        self._listen, self._lease = listen, lease
        self._decide_at = 0.0
        self._heard: dict[int, tuple[float, Claim]] = {}
        self.refused: tuple[float, Claim] | None = None

    def want(self, now: float, since: float, resources: tuple[str, ...]) -> None:
        """Begin to want the role at `now` [s, monotonic]; since: the same instant on the clock of this host."""
        self.claim = replace(self.claim, since=since, resources=resources, stage=Stage.WANTING)
        self._decide_at = now + self._listen
        self.refused = None

    def release(self) -> None:
        """Give the role back, or want it no more."""
        self.claim = replace(self.claim, stage=Stage.FREE)

    def hear(self, now: float, other: Claim) -> None:
        """Take in what somebody told; one's own claim may come back, and does not matter."""
        self._heard[other.instance] = (now, other)
        is_newcomer = other.stage is Stage.WANTING and other.collides_with(self.claim)
        if is_newcomer and self.claim.stage is Stage.HOLDING:
            self.refused = (now, other)

    def poll(self, now: float) -> Claim | None:
        """Decide what can be decided at `now`. Returns the claim that this one had to give way to."""
        match self.claim.stage:
            case Stage.FREE:
                return None
            case Stage.WANTING:
                winner = next(iter(self._rivals(now, Stage.HOLDING)), None)
                # One that wants it too, and came first, is waited for: it may be turned away itself.
                is_first = not any(rival.precedes(self.claim) for rival in self._rivals(now, Stage.WANTING))
                if winner is None and is_first and now >= self._decide_at:
                    self.claim = replace(self.claim, stage=Stage.HOLDING)
            case Stage.HOLDING:
                winner = next((it for it in self._rivals(now, Stage.HOLDING) if it.precedes(self.claim)), None)
        if winner is not None:
            self.release()
        return winner

    def living(self, now: float) -> list[Claim]:
        """What others hold or want, whatever the role."""
        return [
            it
            for at, it in self._heard.values()
            if it.stage is not Stage.FREE and now - at <= self._lease and it.instance != self.claim.instance
        ]

    def _rivals(self, now: float, stage: Stage) -> list[Claim]:
        return [
            it
            for at, it in self._heard.values()
            if it.stage is stage and now - at <= self._lease and it.collides_with(self.claim)
        ]
