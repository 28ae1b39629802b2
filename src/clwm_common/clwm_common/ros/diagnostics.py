"""What a node says about its health, once a second, on /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

ACTIVE = "active"  # the value in which every node says whether it works
NOT_OK_FOR = "not_ok_for_s"  # and for how many s it has not been well


class Level(IntEnum):
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class Health:
    """One status: how bad, in words, and the numbers behind it (any values; they are shown as text)."""

    level: Level = Level.OK
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """The message, and for how long the node has not been well."""
        return f"{self.message} (since {self.values[NOT_OK_FOR]} s)" if NOT_OK_FOR in self.values else self.message

    @property
    def is_active(self) -> bool:
        """Whether the node works, by its own word; one that is not and reports an error has refused to, or stopped."""
        return _text(self.values.get(ACTIVE, False)) == _text(True)


def to_status(name: str, health: Health) -> DiagnosticStatus:
    """The ROS form of `health`, said by node `name`."""
    return DiagnosticStatus(
        level=bytes([health.level]),
        name=name,
        message=health.message,
        hardware_id="clwm",
        values=[KeyValue(key=str(key), value=_text(value)) for key, value in health.values.items()],
    )


def from_status(status: DiagnosticStatus) -> Health:
    """The inverse, with all values as text."""
    return Health(Level(status.level[0]), status.message, {pair.key: pair.value for pair in status.values})


def to_array(stamp: Any, name: str, health: Health) -> DiagnosticArray:
    """A DiagnosticArray of this one status, stamped with the ROS time `stamp`."""
    message = DiagnosticArray(status=[to_status(name, health)])
    message.header.stamp = stamp
    return message


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
