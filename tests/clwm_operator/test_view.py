"""What `clwm watch` shows of a stack, on a terminal and in a log."""

import dataclasses
import io

import pytest
from rich.console import Console

from clwm_common.messages import Mode
from clwm_common.ros.diagnostics import Health, Level
from clwm_operator.recording import Chunk
from clwm_operator.view import View, as_panel, chunk_facts, one_line


def chunk(number, blocking=0.03, **changes):
    plain = {
        "chunk_id": number,
        "outcome": "executed",
        "requested_at": 1.0,
        "observe_at": 1.6,
        "needed_by": 1.8,
        "at_rest": False,
        "sent_at": 1.6 + blocking,
        "first_motion_at": 1.8,
        "rows_end_at": 2.4,
        "observation_stamp": 1.6,
        "stall": 0.0,
        "speculation": (1.1, 1.3),
        "frame_arrived_at": 1.61,
        "finished_at": 1.62,
        "stages": {},
        "surrogate_error": 0.31,
        "copy_error": 0.5,
        "policy": "adaptive",
        "nfe_blocking": 3,
    }
    return Chunk(**(plain | changes))


BUSY = View(
    mode=Mode.POLICY,
    owner="nano",
    phase="MOVING",
    instruction="put [the] block on the pad",
    world="place_block, seed 7, 3 s",
    chunks=(
        chunk(1, at_rest=True, blocking=9.0),
        chunk(2, 0.020),
        chunk(3, 0.040, stall=0.1),
        chunk(4, outcome="late"),
    ),
    health={"policy": Health(Level.WARN, "surrogate error above its range"), "sim": Health(Level.OK, "")},
)


def text_of(view):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(as_panel(view))
    return console.export_text()


def test_the_last_chunks_are_summed_up_without_those_made_at_rest():
    facts = chunk_facts(BUSY.chunks)
    assert facts["chunks"] == "3 of the last 4 executed, newest 3"
    assert facts["blocking p50 / p95"] == "30 / 39 ms"
    assert facts["stalls"] == "1" and facts["evaluations after the observation"] == "3 (adaptive)"


def test_without_an_executed_chunk_there_is_nothing_to_say_of_them():
    assert chunk_facts(()) == {} and chunk_facts([chunk(1, outcome="late")]) == {}


def test_a_chunk_without_the_policys_report_is_shown_as_far_as_it_is_known():
    unknown = dataclasses.replace(chunk(1), surrogate_error=None, nfe_blocking=None, sent_at=None)
    assert list(chunk_facts([unknown])) == ["chunks", "stalls"]


def test_the_panel_names_mode_owner_task_world_and_every_node_within_80_columns():
    text = text_of(BUSY)
    for part in ("POLICY, MOVING, moved by nano", "put [the] block on the pad", "place_block, seed 7", "30 / 39 ms"):
        assert part in text
    assert "WARN  policy  surrogate error above its range" in text and "OK    sim" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_held_stack_says_why_and_one_without_a_task_what_to_do():
    text = text_of(View(mode=Mode.ESTOP, reason="ESTOP was ordered", phase="IDLE"))
    assert "ESTOP, IDLE, moved by nobody" in text and "ESTOP was ordered" in text and "clwm task" in text


def test_a_silent_executor_is_not_shown_as_a_mode():
    assert "the executor is silent" in text_of(View()) and one_line(View()) == "the executor is silent"


@pytest.mark.parametrize(
    ("view", "line"),
    [
        (
            BUSY,
            "POLICY, MOVING, 'put [the] block on the pad', blocking 30 / 39 ms, "
            "policy: surrogate error above its range",
        ),
        (View(mode=Mode.HOLD, reason="a chunk was refused", phase="IDLE"), "HOLD, IDLE, no task, a chunk was refused"),
    ],
)
def test_a_line_for_logs(view, line):
    assert one_line(view) == line
