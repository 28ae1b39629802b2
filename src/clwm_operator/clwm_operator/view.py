"""What `clwm watch` shows: who moves the arms, what they do, how the last chunks came, how the nodes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clwm_common.messages import Mode
from clwm_common.ros.diagnostics import Health, Level
from clwm_operator.recording import Chunk

_MODE_COLOURS = {Mode.POLICY: "green", Mode.TELEOP: "cyan", Mode.HOLD: "yellow", Mode.ESTOP: "red"}
_LEVEL_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.ERROR: "red", Level.STALE: "red"}


@dataclass(frozen=True)
class View:
    """One look at the stack. mode: None while the executor is silent; owner, reason: who moves the arms, or why nobody
    does; phase, instruction: what they do; chunks: the last ones.
    """

    mode: Mode | None = None
    owner: str = ""
    reason: str = ""
    phase: str = ""
    instruction: str = ""
    world: str = ""
    chunks: Sequence[Chunk] = ()
    health: Mapping[str, Health] = field(default_factory=dict)


def chunk_facts(chunks: Sequence[Chunk]) -> dict[str, str]:
    """Of the last chunks, for people: blocking latency, stalls, evaluations, how well the next picture was foreseen."""
    executed = [chunk for chunk in chunks if chunk.was_executed]
    blocking = [1e3 * chunk.blocking for chunk in executed if chunk.blocking is not None and not chunk.at_rest]
    if not executed:
        return {}
    last = executed[-1]
    facts = {"chunks": f"{len(executed)} of the last {len(chunks)} executed, newest {last.chunk_id}"}
    if blocking:
        p50, p95 = np.percentile(blocking, [50, 95])
        facts["blocking p50 / p95"] = f"{p50:.0f} / {p95:.0f} ms"
    facts["stalls"] = str(sum(chunk.stall > 0.0 for chunk in executed))
    if last.nfe_blocking is not None:
        facts["evaluations after the observation"] = f"{last.nfe_blocking} ({last.policy})"
    if last.surrogate_error is not None:
        facts["surrogate error"] = f"{last.surrogate_error:.2f}"
    return facts


def one_line(view: View) -> str:
    """For logs, and where nobody watches a terminal."""
    if view.mode is None:
        return "the executor is silent"
    facts = chunk_facts(view.chunks)
    parts = [view.mode.name, view.phase, f"'{view.instruction}'" if view.instruction else "no task"]
    parts += [view.reason] if view.reason else []
    parts += [f"blocking {facts['blocking p50 / p95']}"] if "blocking p50 / p95" in facts else []
    parts += [f"{name}: {health.told}" for name, health in view.health.items() if health.level > Level.OK]
    return ", ".join(parts)


def as_panel(view: View) -> Panel:
    """The whole picture, as wide as a terminal of 80 columns."""
    facts = Table.grid(padding=(0, 2))
    if view.mode is None:
        facts.add_row(Text.assemble(("the executor is silent", "red"), ": is the stack up? (clwm up)"))
    else:
        colour = _MODE_COLOURS[view.mode]
        who = view.owner or "nobody"
        facts.add_row("arms", Text.assemble((view.mode.name, f"bold {colour}"), f", {view.phase}, moved by {who}"))
        if view.reason:
            facts.add_row("", Text(view.reason, colour))
        facts.add_row("task", Text(view.instruction or "none: the arms hold; give one with `clwm task`"))
    if view.world:
        facts.add_row("world", Text(view.world))
    for name, value in chunk_facts(view.chunks).items():
        facts.add_row(name, Text(value))
    nodes = Table.grid(padding=(0, 2))
    for name, health in sorted(view.health.items()):
        nodes.add_row(Text(health.level.name, _LEVEL_COLOURS[health.level]), Text(name), Text(health.told))
    return Panel(Group(facts, "", nodes), title="clwm", subtitle="Ctrl-C ends the watch, not the stack")
