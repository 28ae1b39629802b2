"""Who may send to an arm besides those who should, by what cannot be shared: the process that opened the publisher."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

_NAMELESS = ("", "_NODE_NAME_UNKNOWN_")


@dataclass(frozen=True)
class Endpoint:
    """A publisher in the graph. node: its full name; participant: of its process, as in Claim."""

    node: str
    participant: str


def foreign_commanders(publishers: Iterable[Endpoint], ours: Collection[str]) -> list[str]:
    """Those that are none of the participants `ours`, in words, each once."""
    return sorted({_named(it) for it in publishers if it.participant not in ours})


def fight(topic: str, others: Collection[str]) -> str:
    """What is wrong when `others` may send to `topic`."""
    return f"{', '.join(others)} may send to {topic}, too"


def _named(publisher: Endpoint) -> str:
    is_nameless = publisher.node.rpartition("/")[2] in _NAMELESS
    return f"a process without a ROS name ({publisher.participant})" if is_nameless else f"node '{publisher.node}'"
