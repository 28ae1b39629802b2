"""What a gamepad's message asks for."""

import math

import pytest

from clwm_operator.teleop.jog import SILENCE
from clwm_operator.teleop.joy import ButtonSwitch, DeviceError, JoyReader
from clwm_operator.teleop.mapping import JoyMapping, load_mapping

SHIPPED = load_mapping(JoyMapping, "joy")


def read(reader, axes=None, down=()):
    values = [0.0] * 8
    for axis, value in (axes or {}).items():
        values[axis] = value
    return reader.read(1.0, values, [int(button in down) for button in range(11)])


@pytest.mark.parametrize(
    ("axes", "down", "linear", "angular", "opening"),
    [
        ({1: 1.0}, (), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0),
        ({0: -1.0}, (), (0.0, -1.0, 0.0), (0.0, 0.0, 0.0), 0.0),
        ({4: 1.0}, (), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), 0.0),
        ({6: 1.0}, (), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0), 0.0),
        ({7: 1.0}, (), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.0),
        ({3: -1.0}, (), (0.0, 0.0, 0.0), (0.0, 0.0, -1.0), 0.0),
        ({}, (3,), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0),
        ({}, (0,), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), -1.0),
        ({}, (0, 3), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0),
    ],
)
def test_each_axis_and_button_moves_what_the_mapping_says(axes, down, linear, angular, opening):
    hand = read(JoyReader(SHIPPED), axes, down)
    assert (hand.linear, hand.angular, hand.opening) == (linear, angular, opening) and not hand.dead_man


def test_only_the_named_button_is_the_dead_man_switch():
    reader = JoyReader(SHIPPED)
    assert [button for button in range(11) if read(reader, down=(button,)).dead_man] == [SHIPPED.dead_man]


@pytest.mark.parametrize(("deflection", "share"), [(0.05, 0.0), (-0.1, 0.0), (0.55, 0.5), (-0.55, -0.5), (7.0, 1.0)])
def test_small_deflections_are_none_and_none_is_more_than_full(deflection, share):
    assert read(JoyReader(SHIPPED), {1: deflection}).linear[0] == pytest.approx(share)


def test_a_push_changes_the_arm_once_however_long_it_lasts():
    reader = JoyReader(SHIPPED)
    arms = [read(reader, down=(4,) * held).arm for held in (0, 1, 1, 1, 0, 0, 1, 0)]
    assert arms == [0, 1, 1, 1, 1, 1, 0, 0]


def test_buttons_that_are_down_from_the_beginning_have_not_been_pushed():
    reader = JoyReader(SHIPPED)
    assert read(reader, down=(4, 7)).arm == 0 and not reader.is_handed_back
    read(reader)
    read(reader, down=(7,))
    assert reader.is_handed_back


@pytest.mark.parametrize(
    ("axes", "buttons", "said"),
    [
        ([0.0] * 4, [0] * 11, "4 axes and no axis 4; correct the mapping"),
        ([0.0] * 8, [0] * 5, "5 buttons and no button 7; correct the mapping"),
        ([0.0, math.nan, *[0.0] * 6], [0] * 11, "axis 1 is nan; expected -1 to 1"),
        ([math.inf, *[0.0] * 7], [0] * 11, "axis 0 is inf"),
    ],
)
def test_a_message_that_cannot_be_understood_is_refused_with_its_reason(axes, buttons, said):
    with pytest.raises(DeviceError, match=said):
        JoyReader(SHIPPED).read(1.0, axes, buttons)


def test_a_pedal_is_held_by_fresh_messages_only():
    pedal = ButtonSwitch(1)
    assert not pedal.is_held(0.0)
    pedal.hear(1.0, [0, 1])
    assert pedal.is_held(1.0 + SILENCE) and not pedal.is_held(1.01 + SILENCE)
    pedal.hear(2.0, [1, 0])
    assert not pedal.is_held(2.0)
    pedal.hear(3.0, [0, 1])
    with pytest.raises(DeviceError):
        pedal.hear(3.1, [0])
    assert not pedal.is_held(3.1)
