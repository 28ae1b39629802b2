"""What a run of the fuzzer did and found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from clwm_chaos.motion_checks import Violation


@dataclass
class RunResult:
    """What one run did. counts: chunks, requests, answers by fate, disturbances and refusals by name."""

    chunks: int = 0
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    deadlocks: list[Violation] = field(default_factory=list)

    def add(self, other: RunResult) -> None:
        """Make this the result of both."""
        self.chunks += other.chunks
        self.virtual_seconds += other.virtual_seconds
        self.cpu_seconds += other.cpu_seconds
        self.counts += other.counts
        self.violations += other.violations
        self.deadlocks += other.deadlocks
