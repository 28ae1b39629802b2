"""What the fault relay does to messages: exactly what it was told, for as long as it was told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_chaos.faults.relay import Link, Tampering, TamperingError


def passed(link, messages, start=0.0, period=0.1):
    """What comes out at once for messages that come in every `period` s."""
    return [link.take(start + period * index, message)[0] for index, message in enumerate(messages)]


def link_with(kind, **fields):
    link = Link()
    link.begin(0.0, Tampering(1, ("/topic",), kind, **{"seconds": 0.35, **fields}))
    return link


def test_without_a_tampering_every_message_passes_unchanged():
    assert passed(Link(), "abc") == [["a"], ["b"], ["c"]]


def test_dropped_messages_are_lost_until_the_time_is_over():
    assert passed(link_with("drop"), "abcdef") == [[], [], [], [], ["e"], ["f"]]


def test_of_a_lost_message_the_repetitions_pass():
    assert passed(link_with("lose", count=2, seconds=9.0), "aabbbcc") == [[], ["a"], [], ["b"], ["b"], ["c"], ["c"]]
    link = Link()
    assert passed(link, "a", start=-0.1) == [["a"]]
    link.begin(0.0, Tampering(1, ("/topic",), "lose", seconds=0.35))
    assert passed(link, "abcde") == [["a"], [], [], [], ["e"]], "a repetition is no message to lose"


def test_goals_that_cannot_be_compared_pass():
    class Goal:
        def __eq__(self, other):
            raise RuntimeError("destroyed")

    goals = [Goal(), Goal()]
    assert [each[0] is goal for each, goal in zip(passed(Link(), goals), goals, strict=True)] == [True, True]


def test_a_frozen_topic_repeats_the_last_message_from_before():
    link = Link()
    assert passed(link, "a", start=-0.1) == [["a"]]
    link.begin(0.0, Tampering(1, ("/topic",), "freeze", seconds=0.25))
    assert passed(link, "bcde") == [["a"], ["a"], ["a"], ["e"]]


def test_a_topic_frozen_before_its_first_message_stays_silent():
    assert passed(link_with("freeze"), "ab") == [[], []]


def test_delayed_messages_come_later_in_their_order():
    link = link_with("delay", delay=0.5)
    assert passed(link, "ab") == [[], []]
    assert link.due(0.49) == []
    assert link.due(0.5) == ["a"]
    assert link.due(9.0) == ["b"]


def test_swapped_messages_change_places_two_by_two():
    assert passed(link_with("swap"), "abcd") == [[], ["b", "a"], [], ["d", "c"]]


def test_duplicated_messages_come_twice():
    assert passed(link_with("duplicate", seconds=0.15), "abc") == [["a", "a"], ["b", "b"], ["c"]]


def test_an_edit_with_a_count_changes_that_many_messages():
    link = Link()
    link.begin(0.0, Tampering(1, ("/topic",), "edit", seconds=9.0, count=2), str.upper)
    assert passed(link, "abc") == [["A"], ["B"], ["c"]]


def test_only_what_was_tampered_with_is_said_to_be():
    link = link_with("drop", count=1)
    assert [link.take(0.1 * index, message)[1] for index, message in enumerate("ab")] == [True, False]


@given(st.integers(0, 30), st.floats(0.0, 3.0))
def test_swapping_loses_and_invents_no_message(count, seconds):
    link = link_with("swap", seconds=seconds)
    out = [message for each in passed(link, range(count + 40)) for message in each]
    assert sorted(out) == list(range(count + 40))


def test_an_order_survives_its_way_as_text():
    order = Tampering(7, ("/a", "/b"), "delay", seconds=0.5, delay=0.2)
    assert Tampering.from_json(order.to_json()) == order


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "not a tampering"),
        ('{"identity": 1, "topics": ["/a"], "kind": "drop", "colour": "red"}', "colour"),
        ('{"identity": 1, "kind": "drop"}', "topics"),
        ('{"identity": 1, "topics": ["/a"], "kind": "burn"}', "kind is 'burn'; expected one of drop"),
    ],
)
def test_an_order_that_cannot_be_understood_says_what_is_wrong(text, expected):
    with pytest.raises(TamperingError, match=expected):
        Tampering.from_json(text)
