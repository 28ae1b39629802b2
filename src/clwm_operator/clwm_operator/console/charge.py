"""Which operator is in charge: one at a time, by an explicit act that all see. No clock, no network."""

from __future__ import annotations

from dataclasses import dataclass, field

from clwm_operator.console.access import Role

ABSENCE = 5.0  # s that a page may be gone, to be loaded anew, before its operator has left


@dataclass(frozen=True)
class Seat:
    """One open page. key: known to that page alone; number, name: shown to all."""

    key: str
    number: int
    name: str
    role: Role

    def __str__(self) -> str:
        return f"{self.name} (page {self.number})"


@dataclass
class Charge:
    """Pages come and go; one of an operator's is in charge, or none.

    note: what happened last, for all to read.
    """

    note: str = ""
    holder: Seat | None = None
    _seats: dict[str, Seat] = field(default_factory=dict)
    _pages: dict[str, int] = field(default_factory=dict)
    _absent_since: float | None = None
    _count: int = 0

    @property
    def seats(self) -> list[Seat]:
        """Those of open pages."""
        return [seat for key, seat in self._seats.items() if self._pages.get(key)]

    def sit(self, now: float, key: str, name: str, role: Role) -> Seat:
        """A page has opened, or is back."""
        known = self._seats.get(key)
        if known is None:
            self._count += 1
        seat = Seat(key, known.number if known else self._count, name, role)
        self._seats[key] = seat
        self._pages[key] = self._pages.get(key, 0) + 1
        if self.holder is not None and self.holder.key == key:
            self.holder, self._absent_since = (seat, None) if role is Role.OPERATOR else (None, None)
        return seat

    def leave(self, now: float, key: str) -> None:
        """A connection of this page has ended."""
        self._pages[key] = self._pages.get(key, 0) - 1
        if self._pages[key] <= 0:
            del self._pages[key]
            if self.holder is not None and self.holder.key == key:
                self._absent_since = now
            else:
                self._seats.pop(key, None)

    def look(self, now: float) -> None:
        """Notice an operator in charge who does not come back."""
        if self.holder is not None and self._absent_since is not None and now - self._absent_since > ABSENCE:
            self._seats.pop(self.holder.key, None)
            self.note = f"{self.holder} has left; nobody is in charge"
            self.holder, self._absent_since = None, None

    def problem(self, key: str) -> str:
        """Why the page may not order what only one in charge may; empty when it may.

        With nobody in charge it takes charge by asking.
        """
        seat = self._seats.get(key)
        if seat is None or not self._pages.get(key):
            return "this page is not connected; reload it"
        if seat.role is not Role.OPERATOR:
            return "a viewer orders nothing; log in with the operator's token"
        if self.holder is None:
            self._hand(seat, f"{seat} is in charge")
        elif self.holder.key != key:
            return f"{self.holder} is in charge; take over first"
        return ""

    def take(self, key: str) -> str:
        """Put the operator of this page in charge, whoever was. Returns why not; empty when done."""
        before = self.holder
        if before is None or before.key == key:
            return self.problem(key)
        self.holder = None
        if refusal := self.problem(key):
            self.holder = before
        else:
            self.note = f"{self._seats[key]} has taken over from {before}"
            if not self._pages.get(before.key):
                self._seats.pop(before.key, None)
        return refusal

    def give_up(self, key: str) -> str:
        """Leave the charge to whoever wants it. Returns why not; empty when done."""
        if self.holder is None or self.holder.key != key:
            return "this page is not in charge"
        self.note = f"{self.holder} is no longer in charge; nobody is"
        self.holder = None
        return ""

    def _hand(self, seat: Seat, note: str) -> None:
        self.holder, self._absent_since, self.note = seat, None, note
