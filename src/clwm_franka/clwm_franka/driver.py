"""In which state the link to one arm is, and what is to be done next. Knows no clock, no socket and no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from clwm_franka.reasons import explain

RETRY = 1.0  # s between two attempts to connect
IDLE, REFLEX = "Idle", "Reflex"
_NOT_READY = {
    "UserStopped": "its enabling device, or the stop button, holds it; release it",
    "Guiding": "it is guided by hand; let go of it",
    "Other": "its brakes are locked, or its interface is not active; unlock and activate it on its desk",
    "Move": "another program moves it; end that one",
    "AutomaticErrorRecovery": "it recovers from an error",
}


class Phase(Enum):
    """SEARCHING: no connection. WAITING: connected, and the robot not ready. CONTROLLING: it gets our commands.

    FAULT: it has stopped for a reason that somebody must look at first.
    """

    SEARCHING = auto()
    WAITING = auto()
    CONTROLLING = auto()
    FAULT = auto()


@dataclass(frozen=True)
class Tick:
    """Nothing happened but time."""


@dataclass(frozen=True)
class Seen:
    """The robot is connected, gets no commands of ours, and reports its mode and its errors by name."""

    mode: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Begun:
    """The robot takes our commands."""


@dataclass(frozen=True)
class Ended:
    """The robot has stopped taking our commands, or did not begin to."""

    reason: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lost:
    """There is no connection, or none any more."""

    reason: str


@dataclass(frozen=True)
class RecoveryAsked:
    """Somebody has looked at the arm and wants it to go on."""


@dataclass(frozen=True)
class RecoveryEnded:
    """The robot's automatic error recovery is over; reason: why it failed, or empty."""

    reason: str = ""


Event = Tick | Seen | Begun | Ended | Lost | RecoveryAsked | RecoveryEnded


@dataclass(frozen=True)
class Connect:
    """Open a connection; answer with Seen or Lost."""


@dataclass(frozen=True)
class Begin:
    """Hold the arm where it is by commands; answer with Begun, Ended or Lost."""


@dataclass(frozen=True)
class Recover:
    """Start the robot's automatic error recovery; answer with RecoveryEnded or Lost."""


Command = Connect | Begin | Recover


class Driver:
    """Connects again by itself and takes up a robot that is ready; recovers from an error only when told to.

    name: of the arm, as an operator calls it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._phase = Phase.SEARCHING
        self._reason = "not connected yet"
        self._mode = ""
        self._tried_at: float | None = None
        self._had_control = False

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def reason(self) -> str:
        """Why the arm does not take commands, with the remedy; empty while it does."""
        return "" if self._phase is Phase.CONTROLLING else f"{self._name} arm: {self._reason}"

    @property
    def fault(self) -> str:
        """The reason for which whoever moves the arms must stop: not that of an arm that nobody could move before."""
        is_new = self._phase is Phase.SEARCHING and not self._had_control
        return "" if is_new else self.reason

    @property
    def refusal(self) -> str:
        """Why a recovery would not be tried now; empty when it would."""
        if self._phase is Phase.FAULT:
            return ""
        return self.reason or f"{self._name} arm: nothing is wrong; it takes commands"

    def step(self, now: float, event: Event) -> list[Command]:
        """Take in one event at `now` [s, steady] and return what is to be done, in order."""
        match event:
            case Tick():
                return self._search(now)
            case Lost(reason):
                self._enter(Phase.SEARCHING, f"no connection ({reason}); trying again every {RETRY:.0f} s")
            case Seen(mode, errors):
                return self._see(mode, errors)
            case Begun():
                self._had_control = True
                self._enter(Phase.CONTROLLING, "")
            case Ended(reason, errors):
                self._fail(explain(errors, otherwise=reason))
            case RecoveryAsked() if self._phase is Phase.FAULT:
                # A robot without an error has nothing to recover from: it is taken up again.
                return self._take_up() if self._mode == IDLE else [Recover()]
            case RecoveryEnded(reason) if self._phase is Phase.FAULT:
                if not reason:
                    return self._take_up()
                self._reason = f"error recovery failed ({reason}); see to the robot on its desk, then recover again"
        return []

    def _search(self, now: float) -> list[Command]:
        if self._phase is not Phase.SEARCHING or (self._tried_at is not None and now - self._tried_at < RETRY):
            return []
        self._tried_at = now
        return [Connect()]

    def _see(self, mode: str, errors: tuple[str, ...]) -> list[Command]:
        self._mode = mode
        if self._phase is Phase.FAULT:
            return []
        if mode == REFLEX or errors:
            self._fail(explain(errors, otherwise="it has stopped with an error that it does not name"))
        elif mode == IDLE:
            return self._take_up()
        else:
            self._enter(Phase.WAITING, f"not ready: {_NOT_READY.get(mode, f'its mode is {mode}')}")
        return []

    def _take_up(self) -> list[Command]:
        self._enter(Phase.WAITING, "about to be taken up")
        return [Begin()]

    def _fail(self, what: str) -> None:
        self._mode = ""
        remedy = f"see to the arm, then `clwm recover {self._name}`, and set the mode to POLICY"
        self._enter(Phase.FAULT, f"stopped by {what}; {remedy}")

    def _enter(self, phase: Phase, reason: str) -> None:
        self._phase, self._reason = phase, reason
