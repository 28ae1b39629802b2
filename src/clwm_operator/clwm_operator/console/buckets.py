"""How often somebody may ask: token buckets, by name. Time comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

_NAMES = 256  # that are remembered: they come from outside, and memory is finite


@dataclass
class Buckets:
    """Each name may ask `rate` times a second, and `burst` times at once."""

    rate: float
    burst: float
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, now: float, name: str) -> float:
        """Let one request of `name` pass: returns 0; or the s after which it may ask again, and it does not pass."""
        left, at = self._left.pop(name, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        passes = left >= 1.0
        while len(self._left) >= _NAMES:
            del self._left[next(iter(self._left))]
        self._left[name] = (left - 1.0 if passes else left), now
        return 0.0 if passes else (1.0 - left) / self.rate
