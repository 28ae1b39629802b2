"""Every event in every phase: where it leads, and that nothing moves which should not."""

import numpy as np
import pytest

from clwm_common.messages import ChunkRequest, Mode, SaiReport
from clwm_sai_executor import events
from clwm_sai_executor.scheduler import Phase

PHASES = ("BLIND", "IDLE", "ASKED", "MOVING", "STALLED", "STOPPING")

# Phase after the event for each phase before it; "=" is the same. After a slash the mode, if HOLD (H) or ESTOP (E).
TABLE = {
    "tick": "= = = = = =",
    "joint state": "IDLE = = = = =",
    "invalid joint state": "= = = = = =",
    "the wanted chunk": "= = MOVING MOVING MOVING =",
    "another chunk": "= = = = = =",
    "a chunk of an old epoch": "= = = = = =",
    "the wanted chunk with NaN": "= = IDLE/H STOPPING/H STOPPING/H =",
    "the wanted chunk unreadable": "= = IDLE/H STOPPING/H STOPPING/H =",
    "report": "= = = = = =",
    "task": "= ASKED ASKED STOPPING STOPPING =",
    "task without words": "= = = = = =",
    "task ended": "= = IDLE STOPPING STOPPING =",
    "POLICY": "= = = = = =",
    "TELEOP": "= = = = = =",
    "HOLD": "=/H =/H IDLE/H STOPPING/H STOPPING/H =/H",
    "ESTOP": "=/E =/E IDLE/E STOPPING/E STOPPING/E =/E",
    "episode reset": "BLIND BLIND BLIND BLIND BLIND BLIND",
    "silence of the joint states": "BLIND BLIND BLIND BLIND BLIND BLIND",
}
MOVES_ARMS = (
    {("the wanted chunk", phase) for phase in ("ASKED", "MOVING", "STALLED")}
    | {(event, phase) for event in ("HOLD", "ESTOP", "silence of the joint states") for phase in ("MOVING", "STOPPING")}
    | {("the wanted chunk with NaN", "MOVING"), ("the wanted chunk unreadable", "MOVING")}
)
CASES = [
    (event, before, after.partition("/"))
    for event, row in TABLE.items()
    for before, after in zip(PHASES, row.split(), strict=True)
]


def bring_to(stack, phase):
    if phase == "BLIND":
        return
    if phase == "IDLE":
        stack.measure()
        return
    stack.begin()
    if phase == "ASKED":
        return
    stack.answer(speed=0.2)
    if phase == "MOVING":
        stack.run_until(stack.requests[-1].observe_at - 0.3)
    if phase == "STALLED":
        stack.run_until(stack.scheduler.path.time(stack.scheduler.path.last_row) + 0.01)
    if phase == "STOPPING":
        stack.do(events.TaskEnded())


def send(stack, event):
    request = stack.requests[-1] if stack.requests else ChunkRequest(1, 0, stack.now, stack.now, np.zeros((1, 30)))
    chunk = stack.chunk(request)
    broken = chunk.rows.copy()
    broken[7, 20] = np.nan
    measured = events.MeasuredArms(stack.now + 1e-3, *stack.controller.sample(stack.now)[:2], stack.widths)
    invalid = events.MeasuredArms(stack.now + 1e-3, np.full(14, np.nan), np.zeros(14), stack.widths)
    made = {
        "tick": events.Tick(),
        "joint state": measured,
        "invalid joint state": invalid,
        "the wanted chunk": events.ChunkArrived(chunk),
        "another chunk": events.ChunkArrived(stack.chunk(request, chunk_id=999)),
        "a chunk of an old epoch": events.ChunkArrived(stack.chunk(request, task_epoch=77)),
        "the wanted chunk with NaN": events.ChunkArrived(stack.chunk(request, rows=broken)),
        "the wanted chunk unreadable": events.ChunkUnreadable(request.chunk_id, "layout version 9"),
        "report": events.ReportArrived(SaiReport(request.chunk_id, request.task_epoch, "sequential")),
        "task": events.TaskSet("place the block"),
        "task without words": events.TaskSet("  "),
        "task ended": events.TaskEnded(),
        "POLICY": events.ModeSet(Mode.POLICY),
        "TELEOP": events.ModeSet(Mode.TELEOP),
        "HOLD": events.ModeSet(Mode.HOLD),
        "ESTOP": events.ModeSet(Mode.ESTOP),
        "episode reset": events.EpisodeReset(),
    }
    if event == "silence of the joint states":
        stack.now += 0.21
        return stack.do(events.Tick())
    return stack.do(made[event])


@pytest.mark.parametrize(("event", "before", "expected"), CASES, ids=[f"{case[0]} in {case[1]}" for case in CASES])
def test_event_leads_to_the_phase_and_mode_of_the_table(make_stack, event, before, expected):
    stack = make_stack(chunk_timeout=1.0)
    bring_to(stack, before)
    assert stack.scheduler.phase is Phase[before]
    commands = send(stack, event)
    after, _, letter = expected
    assert stack.scheduler.phase is Phase[before if after == "=" else after]
    assert stack.scheduler.mode is {"": Mode.POLICY, "H": Mode.HOLD, "E": Mode.ESTOP}[letter]
    has_moved = any(isinstance(command, events.SendTrajectory) for command in commands)
    assert has_moved == ((event, before) in MOVES_ARMS)


def test_every_phase_and_every_event_is_in_the_table():
    assert {phase.name for phase in Phase} == set(PHASES)
    assert len(CASES) == len(TABLE) * len(PHASES)
