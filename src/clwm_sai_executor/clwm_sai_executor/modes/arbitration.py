"""Who moves the arms: the operator's orders by priority, and which human holds a dead-man switch. No clock, no ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from clwm_common.messages import Mode, TeleopCommand
from clwm_sai_executor.events import Level

POLICY_OWNER = "policy"
_COMPLAINTS = 32  # sources that are complained about, once each: names come from outside, and memory is finite


@dataclass
class _Source:
    """stamp: of the newest command believed; is_refused: told already that another one holds the arms."""

    stamp: float
    is_refused: bool = False


@dataclass
class Arbitration:
    """ESTOP > HOLD > TELEOP > POLICY.

                 TELEOP, a source holds its switch
        POLICY ------------------------------------> TELEOP
          |  ^ <------------------------------------   |
          |  |                POLICY                   | HOLD; switch released; source silent for `timeout`;
          |  |                                         | broken target; joint states silent; arms or clock reset
          |  | POLICY                                  v
          |  +-------------------------------------- HOLD <---- refused chunk, HOLD
          |                                           | ^
          |  ESTOP (from any mode)              ESTOP | | HOLD
          +-----------------------------------------> ESTOP

    A switch may be claimed in any mode: the first source to hold one keeps the claim until it lets go or falls silent,
    and TELEOP gives the arms to it. Commands count from their stamp, so a link that delays them is silence.

    say: takes what is to be logged: level and text, and with is_refusal=True the answer to who gave the order.
    reason: why the arms are held, empty in normal operation. fault: the same when something went wrong; an operator
    clears it by ordering POLICY or TELEOP. clock_problem: why the stack's clock does not run; empty when it does.
    """

    mode: Mode
    timeout: float
    say: Callable[..., None]
    since: float = 0.0
    reason: str = ""
    fault: str = ""
    holder: str = ""
    clock_problem: str = ""
    _sources: dict[str, _Source] = field(default_factory=dict)
    _complained: set[str] = field(default_factory=set)

    @property
    def owner(self) -> str:
        """Who moves the arms; empty when nobody does."""
        return {Mode.POLICY: POLICY_OWNER, Mode.TELEOP: self.holder}.get(self.mode, "")

    def order(self, now: float, mode: Mode, obstacle: Callable[[], str]) -> bool:
        """An operator's choice. Returns whether the mode has changed.

        obstacle: asked, when nothing else is in the way, why TELEOP cannot begin; empty when it can.
        """
        refusal = ""
        if mode < Mode.HOLD and self.mode is Mode.ESTOP:
            refusal = "ESTOP is latched; set HOLD first"
        elif mode is Mode.TELEOP and not self.holder:
            refusal = (
                "no teleoperation source holds its dead-man switch; hold one whose commands on /clwm/teleop are at "
                f"most {self.timeout} s old, for instance with `clwm teleop`"
            )
        elif mode is Mode.TELEOP is not self.mode:
            refusal = obstacle()
        if refusal:
            self.say("warning", f"mode {mode.name} refused: {refusal}", is_refusal=True)
            return False
        if mode < Mode.HOLD:
            self.fault = ""
        if mode is self.mode:
            return False
        self._enter(now, mode, f"{mode.name} was ordered" if mode >= Mode.HOLD else "")
        self.say("info", f"mode {mode.name}" + (f", {self.owner} moves the arms" if self.owner else ""))
        return True

    def hear(self, now: float, command: TeleopCommand) -> bool:
        """A command of some source. Returns whether its sender holds the claim, and so its target counts."""
        name = command.source
        known = self._sources.get(name)
        if not self._is_believable(now, command, known):
            return False
        source = self._sources.setdefault(name, _Source(now))
        source.stamp = min(command.stamp, now)
        if not command.dead_man:
            source.is_refused = False
            if name == self.holder:
                self._let_go(now, f"teleoperation source '{name}' let go of its switch", "info")
            return False
        if not self.holder:
            self.holder, source.is_refused = name, False
            self.say("info", f"teleoperation source '{name}' holds its switch; TELEOP gives it the arms")
        elif name != self.holder and not source.is_refused:
            source.is_refused = True
            self.say("warning", f"teleoperation source '{name}' refused: '{self.holder}' came first")
        return name == self.holder

    def look(self, now: float) -> None:
        """Notice a holder that has fallen silent."""
        for name, source in list(self._sources.items()):
            age = now - source.stamp
            if age <= self.timeout:
                continue
            del self._sources[name]
            if name == self.holder:
                text = f"teleoperation source '{name}' is silent for {age:.2f} s; at most {self.timeout} s expected"
                self._let_go(now, text, "warning")

    def fall(self, now: float, reason: str) -> None:
        """Something went wrong: HOLD, with the reason latched; ESTOP stays."""
        self.fault = reason
        if self.mode is not Mode.ESTOP:
            self._enter(now, Mode.HOLD, reason)
        self.say("error", f"holding until the mode is set to POLICY or TELEOP: {reason}")

    def stand(self, now: float, problem: str) -> None:
        """The stack's clock does not run, for this reason; empty when it runs again.

        Perhaps time stands for the arms as well. What was sent brakes them if it does not.
        """
        if problem and not self.clock_problem:
            self.end_teleop(now, problem)
            self.say("error", problem)
        elif self.clock_problem and not problem:
            self.say("info", "the clock runs again")
        self.clock_problem = problem

    def end_teleop(self, now: float, why: str) -> None:
        """What the human's targets refer to is gone: give the arms up, and believe no older command."""
        self._sources.clear()
        if self.holder:
            self._let_go(now, f"teleoperation ended: {why}", "warning")

    def _is_believable(self, now: float, command: TeleopCommand, known: _Source | None) -> bool:
        """Letting go is believed whatever its stamp: the switch is not held any more."""
        if not command.dead_man:
            return True
        off = now - command.stamp
        if command.source and abs(off) <= self.timeout:
            return known is None or command.stamp > known.stamp
        if command.source not in self._complained and len(self._complained) < _COMPLAINTS:
            self._complained.add(command.source)
            text = f"teleoperation source '{command.source}' refused: its stamps are {off:+.2f} s off this clock,"
            text += f" at most {self.timeout} s expected, and its name must not be empty; compare the machines' clocks"
            self.say("warning", text)
        return False

    def _let_go(self, now: float, reason: str, level: Level) -> None:
        self.holder = ""
        if self.mode is Mode.TELEOP:
            self._enter(now, Mode.HOLD, reason)
            reason += "; braking, and holding until a mode is set"
        self.say(level, reason)

    def _enter(self, now: float, mode: Mode, reason: str) -> None:
        self.mode, self.since, self.reason = mode, now, reason
