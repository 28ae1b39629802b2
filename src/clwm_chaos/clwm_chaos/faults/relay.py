"""Faults of messages on their way: lost, frozen, late, swapped, doubled, changed. No ROS, no clock, no thread."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Generic, Literal, TypeVar, get_args

Kind = Literal["drop", "lose", "freeze", "delay", "swap", "duplicate", "edit"]
Message = TypeVar("Message")


class TamperingError(ValueError):
    """An order to the relay that cannot be carried out; the message names the field and what was expected."""


@dataclass(frozen=True)
class Tampering:
    """What to do to the messages of some topics.

    drop: they are lost; lose: they are lost when they come for the first time, while repetitions pass; freeze: each is
    replaced by the last one before; delay: each comes `delay` s later; swap: every two change places; duplicate: each
    comes twice; edit: each is changed by the edit of that name.
    It begins with the next message of any of the topics and lasts for `seconds`; with `count` it ends after so many
    messages of each topic.
    """

    identity: int
    topics: tuple[str, ...]
    kind: Kind
    seconds: float = 1.0
    count: int = 0
    delay: float = 0.0
    edit: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Tampering:
        """Raises TamperingError."""
        try:
            fields = json.loads(text)
            tampering = cls(**{**fields, "topics": tuple(fields["topics"])})
        except (ValueError, TypeError, KeyError) as error:
            raise TamperingError(f"not a tampering: {error}; expected the fields of Tampering as JSON") from None
        if tampering.kind not in get_args(Kind):
            raise TamperingError(f"kind is '{tampering.kind}'; expected one of {', '.join(get_args(Kind))}")
        return tampering


class Link(Generic[Message]):
    """One topic's way through the relay. `take` and `due` return the messages to pass on, in order."""

    def __init__(self) -> None:
        self._last: Message | None = None
        self._held: Message | None = None
        self._newest: Message | None = None
        self._late: list[tuple[float, int, Message]] = []
        self._order = itertools.count()
        self._tampering: Tampering | None = None
        self._edit: Callable[[Message], Message] | None = None
        self._until = 0.0
        self._left = 0

    def begin(self, now: float, tampering: Tampering, edit: Callable[[Message], Message] | None = None) -> None:
        """Tamper with what comes from `now` on; another tampering that still goes on here ends."""
        self._tampering, self._edit = tampering, edit
        self._until = now + tampering.seconds
        self._left = tampering.count

    def take(self, now: float, message: Message) -> tuple[list[Message], bool]:
        """Pass a message that came at `now`. Returns also whether it was tampered with."""
        tampering = self._current(now)
        before, self._newest = self._newest, message
        # Compared only where that was asked for: goals of actions that have ended cannot be.
        if tampering is None or (tampering.kind == "lose" and message == before):
            # The one held back for swapping must not be lost when the swapping ends.
            held, self._held, self._last = self._held, None, message
            return ([message] if held is None else [message, held]), False
        if tampering.count:
            self._left -= 1
        match tampering.kind:
            case "drop" | "lose":
                out = []
            case "freeze":
                out = [] if self._last is None else [self._last]
            case "delay":
                heapq.heappush(self._late, (now + tampering.delay, next(self._order), message))
                out = []
            case "swap" if self._held is None:
                self._held, out = message, []
            case "swap":
                out, self._held = [message, self._held], None
            case "duplicate":
                out = [message, message]
            case "edit":
                assert self._edit is not None
                out = [self._edit(message)]
        return out, True

    def due(self, now: float) -> list[Message]:
        """Delayed messages whose time has come."""
        out = []
        while self._late and self._late[0][0] <= now:
            out.append(heapq.heappop(self._late)[2])
        return out

    def _current(self, now: float) -> Tampering | None:
        tampering = self._tampering
        if tampering is not None and (now >= self._until or (tampering.count and self._left <= 0)):
            self._tampering = None
        return self._tampering
