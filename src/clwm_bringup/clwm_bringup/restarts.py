"""Whether and when a process that died is started again. Knows no process and no clock."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY = 0.5  # s
LONGEST_DELAY = 8.0  # s
LIVED_WELL = 30.0  # s of life after which earlier deaths are forgotten
MAX_DEATHS = 5  # in a row, each before LIVED_WELL
WRONG_PARAMETERS = 2  # exit code of a node whose parameters are refused: another try would end the same way


@dataclass(frozen=True)
class Restart:
    """Start `name` again at the instant `at`; `reason` says what happened."""

    name: str
    at: float
    reason: str


@dataclass(frozen=True)
class GiveUp:
    """Leave `name` dead; `reason` says why. is_refusal: it never ran, as it was not to be started like this."""

    name: str
    reason: str
    is_refusal: bool = False


class Restarts:
    """Delays double with every early death, so that a node that cannot live does not burn the machine."""

    def __init__(self, lived_well: float = LIVED_WELL, longest_delay: float = LONGEST_DELAY) -> None:
        """lived_well: s of life after which earlier deaths are forgotten. longest_delay: s."""
        self._lived_well, self._longest_delay = lived_well, longest_delay
        self._started: dict[str, float] = {}
        self._deaths: dict[str, int] = {}

    def started(self, name: str, now: float) -> None:
        self._started[name] = now

    def died(self, name: str, code: int, now: float) -> Restart | GiveUp:
        """code: as of subprocess, negative for a signal."""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        if code == WRONG_PARAMETERS:
            never_ran = not self._deaths.get(name)
            return GiveUp(name, f"{name} {how}: its parameters are wrong, see its message above", never_ran)
        if now - self._started.get(name, now) >= self._lived_well:
            self._deaths[name] = 0
        deaths = self._deaths[name] = self._deaths.get(name, 0) + 1
        if deaths > MAX_DEATHS:
            return GiveUp(name, f"{name} {how}, {deaths} times in a row; given up: run `clwm doctor` and see its log")
        delay = min(FIRST_DELAY * 2 ** (deaths - 1), self._longest_delay)
        return Restart(name, now + delay, f"{name} {how}; starting it again in {delay:.1f} s")
