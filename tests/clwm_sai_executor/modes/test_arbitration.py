"""Who owns the arms: every order and every word of a source in every mode, with and without a held switch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.messages import Mode, TeleopCommand
from clwm_sai_executor.events import Report
from clwm_sai_executor.modes.arbitration import Arbitration

NOW = 100.0
STATES = ("POLICY", "POLICY+", "TELEOP+", "HOLD", "HOLD+", "ESTOP", "ESTOP+")

# State after the event for each state before it; a plus says that the source `leader` holds its switch.
TABLE = {
    "POLICY": "= = POLICY+ POLICY POLICY+ = =",
    "TELEOP": "= TELEOP+ = = TELEOP+ = =",
    "TELEOP, obstructed": "= = = = = = =",
    "HOLD": "HOLD HOLD+ HOLD+ = = HOLD HOLD+",
    "ESTOP": "ESTOP ESTOP+ ESTOP+ ESTOP ESTOP+ = =",
    "leader holds": "POLICY+ = = HOLD+ = ESTOP+ =",
    "leader holds, stamped long ago": "= = = = = = =",
    "leader holds, stamped in the future": "= = = = = = =",
    "leader lets go": "= POLICY HOLD = HOLD = ESTOP",
    "leader lets go, stamped long ago": "= POLICY HOLD = HOLD = ESTOP",
    "leader is silent": "= POLICY HOLD = HOLD = ESTOP",
    "another holds": "POLICY* = = HOLD* = ESTOP* =",
    "another lets go": "= = = = = = =",
    "nameless holds": "= = = = = = =",
    "fault": "HOLD HOLD+ HOLD+ = = = =",
    "reset": "= POLICY HOLD = HOLD = ESTOP",
}
CASES = [
    (event, before, after) for event, row in TABLE.items() for before, after in zip(STATES, row.split(), strict=True)
]


def word(source="leader", stamp=NOW, dead_man=True):
    return TeleopCommand(stamp, source, dead_man, np.zeros(30, np.float32), np.ones(30, np.bool_))


def unheard(level, text, is_refusal=False):
    pass


def listen(arbitration):
    """The reports from now on."""
    out = []
    arbitration.say = lambda *parts, **more: out.append(Report(*parts, **more))
    return out


def make(state):
    arbitration = Arbitration(Mode[state.rstrip("+")], timeout=0.2, say=unheard)
    if state.endswith("+"):
        arbitration.hear(NOW - 0.01, word(stamp=NOW - 0.01))
    return arbitration


def send(arbitration, event):
    out = listen(arbitration)
    match event.split(", "):
        case ["leader holds" | "another holds" | "nameless holds"]:
            name = {"leader": "leader", "another": "another", "nameless": ""}[event.split()[0]]
            arbitration.hear(NOW, word(name))
        case ["leader holds", when]:
            arbitration.hear(NOW, word(stamp=NOW - 1.0 if when.endswith("ago") else NOW + 1.0))
        case ["leader lets go", *when]:
            arbitration.hear(NOW, word(stamp=NOW - 5.0 if when else NOW, dead_man=False))
        case ["another lets go"]:
            arbitration.hear(NOW, word("another", dead_man=False))
        case ["leader is silent"]:
            arbitration.look(NOW + 0.2)
        case ["fault"]:
            arbitration.fall(NOW, "a chunk with NaN")
        case ["reset"]:
            arbitration.end_teleop(NOW, "the episode was reset")
        case [name, *obstructed]:
            arbitration.order(NOW, Mode[name], lambda: "the arms are elsewhere" if obstructed else "")
    return out


@pytest.mark.parametrize(("event", "before", "after"), CASES, ids=[f"{case[0]} in {case[1]}" for case in CASES])
def test_event_leads_to_the_state_of_the_table(event, before, after):
    arbitration = make(before)
    send(arbitration, event)
    after = before if after == "=" else after
    assert arbitration.mode is Mode[after.rstrip("+*")]
    assert arbitration.holder == ("leader" if after.endswith("+") else "another" if after.endswith("*") else "")
    expected = {"POLICY": "policy", "TELEOP+": "leader"}
    assert arbitration.owner == expected.get(after, expected.get(after.rstrip("+*"), ""))


@pytest.mark.parametrize(
    ("before", "event", "reason"),
    [
        ("TELEOP+", "leader lets go", "'leader' let go of its switch"),
        ("TELEOP+", "leader is silent", "'leader' is silent for 0.21 s; at most 0.2 s expected"),
        ("TELEOP+", "reset", "the episode was reset"),
        ("TELEOP+", "HOLD", "HOLD was ordered"),
        ("POLICY", "fault", "a chunk with NaN"),
    ],
)
def test_mode_says_why_the_arms_are_held(before, event, reason):
    arbitration = make(before)
    send(arbitration, event)
    assert reason in arbitration.reason and arbitration.since == pytest.approx(NOW, abs=0.21)


@pytest.mark.parametrize(
    ("before", "event", "reason"),
    [
        ("POLICY", "TELEOP", "no teleoperation source holds its dead-man switch"),
        ("POLICY+", "TELEOP, obstructed", "the arms are elsewhere"),
        ("ESTOP+", "TELEOP", "set HOLD first"),
    ],
)
def test_refused_order_is_answered_with_the_reason(before, event, reason):
    (report,) = send(make(before), event)
    assert report.is_refusal and reason in report.text


def test_second_source_is_told_once_that_it_is_refused_and_may_claim_when_the_first_lets_go():
    arbitration = make("TELEOP+")
    out = listen(arbitration)
    for _ in range(5):
        assert not arbitration.hear(NOW, word("another"))
        assert not arbitration.hear(NOW, word("another", NOW + 0.001))
    assert [report.text for report in out] == ["teleoperation source 'another' refused: 'leader' came first"]
    send(arbitration, "leader lets go")
    assert arbitration.hear(NOW, word("another", NOW + 0.01)) and arbitration.mode is Mode.HOLD


def test_fault_stays_until_an_operator_gives_the_arms_to_somebody():
    arbitration = make("POLICY+")
    send(arbitration, "fault")
    send(arbitration, "HOLD")
    assert arbitration.fault == arbitration.reason == "a chunk with NaN"
    send(arbitration, "TELEOP")
    assert arbitration.fault == arbitration.reason == "" and arbitration.owner == "leader"


def test_sources_without_number_are_not_remembered():
    arbitration = make("POLICY")
    out = listen(arbitration)
    for index in range(1000):
        arbitration.hear(NOW, word(f"source {index}", NOW - 9.0))
        arbitration.hear(NOW, word(f"other {index}"))
    assert len(out) < 1040
    arbitration.look(NOW + 1.0)
    assert not arbitration._sources and len(arbitration._complained) <= 32


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(sorted(TABLE)), st.floats(0.0, 0.3)), max_size=30))
def test_estop_is_left_for_hold_only_and_teleop_has_an_owner_that_was_heard_lately(steps):
    arbitration, now, heard_at = Arbitration(Mode.POLICY, timeout=0.2, say=unheard), NOW, -np.inf
    for event, pause in steps:
        now, before = now + pause, arbitration.mode
        arbitration.look(now)
        if event.startswith(("leader holds", "another holds")) and "," not in event:
            arbitration.hear(now, word(event.split()[0], now))
            heard_at = now
        elif event in Mode.__members__:
            arbitration.order(now, Mode[event], lambda: "")
        elif event.endswith("lets go"):
            arbitration.hear(now, word(event.split()[0], now, dead_man=False))
        elif event == "fault":
            arbitration.fall(now, "fault")
        if before is Mode.ESTOP:
            assert arbitration.mode is Mode.ESTOP or event == "HOLD"
        if arbitration.mode is Mode.TELEOP:
            assert arbitration.owner and now - heard_at <= 0.2
            assert before is Mode.TELEOP or event == "TELEOP"
