"""What a node of ours does about its role: takes it when it is configured, keeps it, and gives it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rclpy.clock import Clock, ClockType

from clwm_common.claims import refusal
from clwm_common.ros.claiming import PERIOD, RoleClaim
from clwm_common.ros.diagnostics import Health, Level


class RoleTaken(RuntimeError):
    """Another node has the role; the message says which, where, since when, and what to do."""


class SoleRole:
    """A part of ClwmNode. Of the nodes with one ROLE that have one of `sole_names` in common, one is configured at a
    time: a second one is refused, before it has opened anything, and told who the first is.

    role: None without a ROLE.
    """

    ROLE = ""
    role: RoleClaim | None = None

    def sole_names(self) -> Sequence[str]:
        """Topics and services that must have one master; asked before `configure`. Raise to refuse."""
        return ()

    def open_role(self) -> None:
        """From the constructor: be heard of, so that discovery is over when it matters."""
        if self.ROLE:
            self.role = RoleClaim(self, self.ROLE)
            self.create_timer(PERIOD, self._keep_role, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def configure_in_role(self) -> None:
        """Take the role, then `configure`. Raises RoleTaken, and what `configure` raises."""
        if self.role is not None and (holder := self.role.acquire(self.sole_names())) is not None:
            raise RoleTaken(refusal(self.role.claim, holder))
        self.configure()

    def give_role_back(self) -> None:
        if self.role is not None:
            self.role.release()

    def with_refused(self, health: Health) -> Health:
        """`health` with a word on another node that was refused because of this one."""
        other = None if self.role is None else self.role.refused
        if other is None:
            return health
        message = f"{health.message}; another {other.role} was refused: {other}".lstrip("; ")
        return replace(health, level=max(health.level, Level.WARN), message=message)

    def _keep_role(self) -> None:
        if (holder := self.role.tick()) is not None:
            self.fail(f"stopped: {refusal(self.role.claim, holder)}")
            # What it serves would answer in place of the other one.
            self.trigger_cleanup()
