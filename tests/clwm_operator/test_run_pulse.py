"""How a client notices that nobody looks after its task any more."""

import time

import pytest

from clwm_operator.operator_node import LONGEST_SPIN, Pulse


def test_silence_grows_while_nothing_is_heard_and_ends_with_a_sign_of_life():
    pulse = Pulse(lambda note: None)
    for _ in range(3):
        pulse.spin(lambda: time.sleep(0.01))
    assert 0.03 <= pulse.silence < 3.0 * LONGEST_SPIN
    pulse.spin(lambda: pulse.hear(""))
    assert pulse.silence == 0.0


def test_a_client_that_was_stopped_itself_does_not_blame_the_executor():
    pulse = Pulse(lambda note: None)
    pulse.spin(lambda: time.sleep(2.0 * LONGEST_SPIN))
    assert pulse.silence == pytest.approx(LONGEST_SPIN)


def test_a_note_is_told_when_it_changes_and_when_it_ends():
    told = []
    pulse = Pulse(told.append)
    for note in ("", "no picture", "no picture", ""):
        pulse.spin(lambda note=note: pulse.hear(note))
    assert told == ["no picture", ""]
