"""What an operator is told of the executor: how it is, and how its task stands."""

from __future__ import annotations

import json
from collections.abc import Sequence

from clwm_common.messages import TaskStatus
from clwm_common.ros.diagnostics import Health, Level
from clwm_sai_executor.phase import Phase
from clwm_sai_executor.scheduler import Scheduler


def health(
    scheduler: Scheduler, waits: Sequence[str], problems: Sequence[str], fights: Sequence[str], controllers: str
) -> Health:
    """waits: why the arms cannot move. problems: what is odd. fights: who else commands the arms.

    controllers: what is known of them.
    """
    level, message = Level.OK, f"{scheduler.mode.name}, {scheduler.phase.value}"
    if scheduler.fault:
        level, message = Level.ERROR, scheduler.fault
    elif scheduler.phase in (Phase.BLIND, Phase.STALLED):
        level = Level.WARN
    if waits:
        level, message = Level.ERROR, "; ".join([message, *waits])
    if problems:
        level, message = max(level, Level.WARN), "; ".join([message, *problems])
    if fights:
        level, message = Level.ERROR, "; ".join([message, *fights, "stop it: two commanders fight for the arm"])
    summary = scheduler.metrics.summary()
    values = {key: value for key, value in summary.items() if not isinstance(value, dict)}
    status = {
        "mode": scheduler.mode.name,
        "owner": scheduler.arbitration.owner,
        "phase": scheduler.phase.name,
        "task_epoch": scheduler.task_epoch,
        "controllers": controllers,
    }
    return Health(level, message, {**status, **values, "summary": json.dumps(summary)})


def task_status(scheduler: Scheduler, is_active: bool) -> TaskStatus:
    """What is asked of the arms and what they do about it, without a stamp."""
    return TaskStatus(
        stamp=0.0,
        mode=scheduler.mode,
        phase=scheduler.phase.name,
        task_epoch=scheduler.task_epoch,
        started_at=scheduler.epoch.began_at,
        instruction=scheduler.task.instruction if scheduler.task else "",
        goal=scheduler.task.goal if scheduler.task else "",
        fault=scheduler.fault,
        waiting=scheduler.waiting,
        is_active=is_active,
    )
