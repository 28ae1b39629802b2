"""The result of `clwm chaos --all`: per fault what was the worst, as a table and for benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from clwm_chaos.faults.faults import FAULTS
from clwm_chaos.faults.verdict import STANDSTILL_LIMIT, TRAVEL_LIMIT, Injection
from clwm_common.provenance import commit, machine


def summarise(injections: Sequence[Injection], seed: int, repeat: int) -> dict[str, Any]:
    """The content of the report file. Faults are in the order of the documentation."""
    by_fault = {name: [injection for injection in injections if injection.fault == name] for name in FAULTS}
    return {
        "seed": seed,
        "repeat": repeat,
        "machine": machine(),
        "commit": commit(),
        "limits": {"standstill_s": STANDSTILL_LIMIT, "travel_rad": TRAVEL_LIMIT},
        "violations": sum(bool(injection.violations) for injection in injections),
        "faults": [_summarise(name, found) for name, found in by_fault.items() if found],
        "injections": [injection.as_dict() for injection in injections],
    }


def _summarise(name: str, injections: Sequence[Injection]) -> dict[str, Any]:
    return {
        "fault": name,
        "injections": len(injections),
        "documented_outcome": FAULTS[name].outcome.value,
        "known_from": FAULTS[name].known.value,
        "ended_as_documented": sum(not injection.violations for injection in injections),
        "standstill_s_max": _worst(injection.standstill_s for injection in injections),
        "travel_rad_max": _worst(injection.travel_rad for injection in injections),
        "from_injection_s_max": _worst(injection.from_injection_s for injection in injections),
        "velocity_share_max": _worst(injection.velocity_share for injection in injections),
        "acceleration_share_max": _worst(injection.acceleration_share for injection in injections),
        "longest_leap_s_max": _worst(injection.longest_leap_s for injection in injections),
        "repeated_because_slow": sum(injection.repeated for injection in injections),
    }


def _worst(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(max(known), 4) if known else None


def as_table(report: dict[str, Any]) -> Table:
    """For people: one line for each fault, red where something was not as documented."""
    table = Table(title=f"chaos on the real stack, seed {report['seed']}")
    for title in ("fault", "documented outcome"):
        table.add_column(title)
    for title in ("as documented", "standstill [s]", "travel [rad]", "after injection [s]", "acceleration / limit"):
        table.add_column(title, justify="right")
    for row in report["faults"]:
        is_good = row["ended_as_documented"] == row["injections"]
        numbers = (
            f"{row[name]:.3f}" if row[name] is not None else "-"
            for name in ("standstill_s_max", "travel_rad_max", "from_injection_s_max", "acceleration_share_max")
        )
        done = f"{row['ended_as_documented']} of {row['injections']}"
        table.add_row(row["fault"], row["documented_outcome"], done, *numbers, style="" if is_good else "red")
    return table
