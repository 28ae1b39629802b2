"""What is said again and again is said once in a while, with a count. Knows no clock and no log."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

_REMEMBERED = 1000  # texts, of which the longest unheard is forgotten first
_NUMBER = re.compile(r"\d+")


@dataclass
class _Said:
    since: float
    times: int = 0
    left_out: int = 0
    newest: str = ""


class LogThrottle:
    """Texts that differ in their numbers only are the same text: ids and ages change, what is wrong does not."""

    def __init__(self, period: float = 1.0, burst: int = 1) -> None:
        """period: s in which the same text passes `burst` times."""
        self._period, self._burst = period, burst
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()

    def admit(self, now: float, text: str, group: str = "") -> str | None:
        """The text as it is to be said at `now` [s], or None when it is left out. group: texts of two never meet."""
        key = (group, _NUMBER.sub("#", text))
        said = self._said.get(key)
        if said is None:
            said = self._said[key] = _Said(now)
            if len(self._said) > _REMEMBERED:
                self._said.popitem(last=False)
        self._said.move_to_end(key)
        if now - said.since >= self._period:
            said.since, said.times = now, 0
        if said.times >= self._burst:
            said.left_out, said.newest = said.left_out + 1, text
            return None
        said.times += 1
        left_out, said.left_out = said.left_out, 0
        return _counted(text, left_out + 1) if left_out else text

    def due(self, now: float) -> list[tuple[str, str]]:
        """(group, text) for what was left out and has not come again for a period: the last word of each."""
        found = []
        for (group, _), said in self._said.items():
            if said.left_out and now - said.since >= self._period:
                found.append((group, _counted(said.newest, said.left_out)))
                said.since, said.times, said.left_out = now, self._burst, 0
        return found


def _counted(text: str, times: int) -> str:
    return f"{text} (repeated {'once' if times == 1 else f'{times} times'})"
