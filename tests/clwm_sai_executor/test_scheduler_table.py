"""Every event in every phase: where it leads, and that nothing moves which should not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_common.messages import ChunkRefusal, ChunkRequest, Mode, RefusalKind, SaiReport
from clwm_sai_executor import events
from clwm_sai_executor.phase import NEXT, Phase, PhaseError

PHASES = ("BLIND", "IDLE", "ASKED", "MOVING", "STALLED", "STOPPING", "STEERED")

# Phase after the event for each phase before it; "=" is the same. After a slash the mode, if it changes: POLICY (P),
# TELEOP (T), HOLD (H) or ESTOP (E). Before the event it is TELEOP in STEERED, and POLICY else.
TABLE = {
    "tick": "= = = = = = =",
    "joint state": "IDLE = = = = = =",
    "invalid joint state": "= = = = = = =",
    "the wanted chunk": "= = MOVING MOVING MOVING = =",
    "another chunk": "= = = = = = =",
    "a chunk of an old epoch": "= = = = = = =",
    "the wanted chunk with NaN": "= = IDLE/H STOPPING/H STOPPING/H = =",
    "the wanted chunk unreadable": "= = IDLE/H STOPPING/H STOPPING/H = =",
    "a final refusal": "= = IDLE STOPPING STOPPING = =",
    "a refusal that may pass": "= = IDLE STOPPING STOPPING = =",
    "a refusal of another chunk": "= = = = = = =",
    "report": "= = = = = = =",
    "task": "= ASKED ASKED STOPPING STOPPING = =",
    "task without words": "= = = = = = =",
    "task ended": "= = IDLE STOPPING STOPPING = =",
    "POLICY": "= = = = = = STOPPING/P",
    "TELEOP": "= = = = = = =",
    "TELEOP, a switch is held": "= STEERED/T STEERED/T STEERED/T STEERED/T STEERED/T =",
    "HOLD": "=/H =/H IDLE/H STOPPING/H STOPPING/H =/H STOPPING/H",
    "ESTOP": "=/E =/E IDLE/E STOPPING/E STOPPING/E =/E STOPPING/E",
    "an arm takes no commands": "=/H =/H IDLE/H STOPPING/H STOPPING/H =/H STOPPING/H",
    "an arm takes commands": "= = = = = = =",
    "a human's target": "= = = = = = =",
    "a human's target with NaN": "= = = = = = STOPPING/H",
    "a late target": "= = = = = = =",
    "another human's target": "= = = = = = =",
    "the switch is released": "= = = = = = STOPPING/H",
    "silence of the human": "= = = = = = STOPPING/H",
    "episode reset": "BLIND BLIND BLIND BLIND BLIND BLIND BLIND/H",
    "silence of the joint states": "BLIND BLIND BLIND BLIND BLIND BLIND BLIND/H",
}
MOVES_ARMS = (
    {("the wanted chunk", phase) for phase in ("ASKED", "MOVING", "STALLED")}
    | {
        (event, phase)
        for event in ("HOLD", "ESTOP", "an arm takes no commands")
        for phase in ("MOVING", "STOPPING", "STEERED")
    }
    | {("silence of the joint states", phase) for phase in ("MOVING", "STOPPING")}
    | {("the wanted chunk with NaN", "MOVING"), ("the wanted chunk unreadable", "MOVING")}
    | {("TELEOP, a switch is held", phase) for phase in PHASES if phase not in ("BLIND", "STEERED")}
    | {(event, "STEERED") for event in ("a human's target", "a human's target with NaN", "the switch is released")}
    | {("silence of the human", "STEERED")}
    | {("POLICY", "STEERED")}
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
    if phase == "STEERED":
        stack.take_over()
        home = stack.robot.home
        stack.steer(lambda time: home + 0.3 * time, 0.5)
        return
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
    refusal = ChunkRefusal(request.chunk_id, request.task_epoch, RefusalKind.REQUEST, "no")
    made = {
        "a final refusal": events.RefusalArrived(refusal),
        "a refusal that may pass": events.RefusalArrived(replace(refusal, may_pass=True)),
        "a refusal of another chunk": events.RefusalArrived(replace(refusal, chunk_id=999)),
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
        "an arm takes no commands": events.DriverSaid("left", "left arm: stopped by joint_reflex"),
        "an arm takes commands": events.DriverSaid("left", ""),
        "a human's target": events.TeleopArrived(stack.target()),
        "a human's target with NaN": events.TeleopArrived(stack.target(np.full(14, np.nan))),
        "a late target": events.TeleopArrived(stack.target(stamp=stack.now - 0.3)),
        "another human's target": events.TeleopArrived(stack.target(source="another")),
        "the switch is released": events.TeleopArrived(stack.target(dead_man=False)),
    }
    if event == "TELEOP, a switch is held":
        stack.ask()
        return stack.do(events.ModeSet(Mode.TELEOP))
    if event == "silence of the human":
        commands = []
        for _ in range(25):
            stack.now += 0.01
            commands += stack.measure() if stack.scheduler.phase is Phase.STEERED else []
        return commands
    if event == "silence of the joint states":
        stack.now += 0.21
        return stack.do(events.Tick())
    return stack.do(made[event])


@pytest.mark.parametrize(("event", "before", "expected"), CASES, ids=[f"{case[0]} in {case[1]}" for case in CASES])
def test_event_leads_to_the_phase_and_mode_of_the_table(make_stack, event, before, expected):
    stack = make_stack(chunk_timeout=1.0)
    bring_to(stack, before)
    assert stack.scheduler.phase is Phase[before]
    mode = stack.scheduler.mode
    commands = send(stack, event)
    after, _, letter = expected
    assert stack.scheduler.phase is Phase[before if after == "=" else after]
    assert (
        stack.scheduler.mode is {"": mode, "P": Mode.POLICY, "T": Mode.TELEOP, "H": Mode.HOLD, "E": Mode.ESTOP}[letter]
    )
    has_moved = any(isinstance(command, events.SendTrajectory) for command in commands)
    assert has_moved == ((event, before) in MOVES_ARMS)


def test_every_phase_and_every_event_is_in_the_table():
    assert {phase.name for phase in Phase} == set(PHASES)
    assert len(CASES) == len(TABLE) * len(PHASES)


@pytest.mark.parametrize("after", Phase)
@pytest.mark.parametrize("before", Phase)
def test_scheduler_enters_a_phase_by_an_edge_of_the_chart_only(stack, before, after):
    stack.scheduler.phase = before
    if after in NEXT[before]:
        stack.scheduler._enter(after)
        assert stack.scheduler.phase is after
    else:
        with pytest.raises(PhaseError, match=f"phase {after.name} after {before.name}"):
            stack.scheduler._enter(after)
        assert stack.scheduler.phase is before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(TABLE)), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.2])), max_size=25))
def test_random_events_never_leave_the_chart(make_stack, steps):
    stack = make_stack(chunk_timeout=1.0)
    stack.begin()
    scheduler = stack.scheduler
    for event, pause in steps:
        stack.run_until(stack.now + pause, period=0.05)
        send(stack, event)
        awaits = scheduler.phase in (Phase.ASKED, Phase.MOVING, Phase.STALLED)
        assert awaits == (scheduler.pending_id is not None), f"{scheduler.phase} after {event}"
        assert (scheduler.phase is Phase.STEERED) == (scheduler.mode is Mode.TELEOP), f"{scheduler.phase} after {event}"
