"""Episodes on the running stack with arms by libfranka, noted one by one so that another day goes on from them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clwm_bringup import graph, log_lines
from clwm_bringup.supervisor import Line, Supervisor
from clwm_evaluation.statistics import compare_pairs, success_rate
from clwm_operator.demo.course import Demo, EpisodePlan
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Recording

ARMS = ("left_arm", "right_arm")


@dataclass(frozen=True)
class Played:
    """One episode. seconds: of the world's time; wall: real ones. cycles, missed: of both arms, since the last one."""

    task: str
    seed: int
    outcome: str
    seconds: float
    wall: float
    cycles: int
    missed: int


def noted(ledger: Path) -> list[Played]:
    """What was played before. A line that the end of a process cut short was not."""
    if not ledger.exists():
        return []
    lines = ledger.read_text().splitlines(keepends=True)
    return [Played(**json.loads(line)) for line in lines if line.endswith("\n")]


def play(
    options: graph.StackOptions,
    plans: Sequence[EpisodePlan],
    ledger: Path,
    logs: Path,
    on_episode: Callable[[Played], None],
) -> None:
    """Play these episodes on one running stack and note each in `ledger`. Raises StackError when it fails."""
    specs = graph.build_graph(options)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    recording = Recording(())  # no pictures: watching them would cost the stack a part of its cores
    with log_lines.LogFiles(logs) as files:

        def keep(line: Line) -> None:
            files.write(line.name, line.text)

        with Supervisor(specs, graph.environment(), keep) as supervisor:
            with Demo(supervisor, recording, lambda text: keep(Line("bench", text)), options.rate > 0.0) as course:
                course.wait_until_active([spec.name for spec in specs])
                counted = _cycles(course)
                for plan in plans:
                    begun = time.monotonic()
                    episode = course.run_episode(plan)
                    course.linger(1.5)  # until the arms have told their cycles again
                    now = _cycles(course)
                    found = Played(
                        plan.task,
                        plan.seed,
                        episode.outcome,
                        round(episode.seconds, 3),
                        round(time.monotonic() - begun, 3),
                        *(after - before for after, before in zip(now, counted, strict=True)),
                    )
                    counted = now
                    with ledger.open("a") as file:
                        file.write(json.dumps(asdict(found)) + "\n")
                    on_episode(found)
                if supervisor.restart_count:
                    raise StackError(f"{supervisor.restart_count} nodes died and were started again; see {logs}")


def _cycles(course: Demo) -> tuple[int, int]:
    """Cycles of both arms, and those that were missed, since the stack was started."""
    values = [course.node.health[name].values for name in ARMS]
    return sum(int(it["cycles"]) for it in values), sum(int(it["cycles_missed"]) for it in values)


def summary(played: Iterable[Played], direct: dict[tuple[str, int], bool]) -> dict[str, Any]:
    """What came of the episodes beside the same ones without the protocol. direct: success by task and seed."""
    played = list(played)
    tasks = {task: [it for it in played if it.task == task] for task in dict.fromkeys(it.task for it in played)}
    by_task = {}
    for task, some in {**tasks, "all": played}.items():
        pairs = [(it.outcome == "success", direct[it.task, it.seed]) for it in some]
        there, here = sum(first for first, _ in pairs), sum(second for _, second in pairs)
        by_task[task] = {
            "episodes": len(pairs),
            "libfranka": {"successes": there, **success_rate(there, len(pairs))},
            "direct": {"successes": here, **success_rate(here, len(pairs))},
            "difference": compare_pairs(pairs),
        }
    return {"by_task": by_task, **cycles_of(played), "episodes_played": [asdict(it) for it in played]}


def cycles_of(played: Sequence[Played]) -> dict[str, Any]:
    """Cycles of both arms in these episodes, and at what factor of real time they went; shares are 0 without any."""
    cycles, missed = sum(it.cycles for it in played), sum(it.missed for it in played)
    factors = [0.0005 * it.cycles / it.wall for it in played]
    return {
        "episodes": len(played),
        "cycles": cycles,
        "cycles_missed": missed,
        "missed_share": missed / cycles if cycles else 0.0,
        "robot_seconds": round(0.0005 * cycles, 1),
        "real_time_factor": round(0.0005 * cycles / sum(it.wall for it in played), 3) if played else 0.0,
        # What else the machine had to do changes from episode to episode.
        "real_time_factor_highest": round(max(factors, default=0.0), 3),
    }
