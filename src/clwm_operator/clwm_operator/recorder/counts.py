"""How each topic came: messages, rate, the longest gap, what was lost on the way."""

from __future__ import annotations

from dataclasses import dataclass

_RESTART = 10_000  # messages; a larger leap of the numbers is another sender


@dataclass
class TopicCount:
    """Of one topic in one recording. Instants in ns; lost: messages that were sent and did not come."""

    messages: int = 0
    bytes: int = 0
    first: int = 0
    last: int = 0
    longest_gap: int = 0
    lost: int = 0
    number: int | None = None

    def add(self, time: int, number: int | None, size: int) -> None:
        """A message came at `time`. number: its sender's count of messages, where the middleware tells one."""
        if self.messages:
            self.longest_gap = max(self.longest_gap, time - self.last)
        else:
            self.first = time
        if number is not None and self.number is not None and 1 < number - self.number < _RESTART:
            self.lost += number - self.number - 1
        self.number = number
        self.last = time
        self.messages += 1
        self.bytes += size

    @property
    def rate(self) -> float:
        """Hz between the first and the last message; 0 of fewer than two."""
        return (self.messages - 1) / (self.last - self.first) * 1e9 if self.last > self.first else 0.0

    def facts(self) -> dict[str, float]:
        """For the recording's summary; times in s."""
        return {
            "messages": self.messages,
            "rate_hz": round(self.rate, 3),
            "longest_gap_s": round(self.longest_gap * 1e-9, 4),
            "lost": self.lost,
            "bytes": self.bytes,
        }
