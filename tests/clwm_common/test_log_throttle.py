"""The same text is said at most once a second, none is lost from the count, and the first one is never late."""

from hypothesis import given
from hypothesis import strategies as st

from clwm_common.log_throttle import LogThrottle


def test_texts_that_differ_in_numbers_only_are_one_and_the_next_one_says_how_often_it_came():
    repeats = LogThrottle()
    said = [repeats.admit(0.01 * n, f"chunk {n} is 0.{n} s late") for n in range(60)]
    assert said[0] == "chunk 0 is 0.0 s late" and not any(said[1:])
    assert repeats.admit(1.5, "chunk 60 is 0.1 s late") == "chunk 60 is 0.1 s late (repeated 60 times)"
    assert repeats.admit(9.0, "chunk 61 is 0.1 s late") == "chunk 61 is 0.1 s late"


def test_what_came_last_is_told_when_it_does_not_come_again():
    repeats = LogThrottle()
    repeats.admit(0.0, "refused: 1", "warning")
    repeats.admit(0.1, "refused: 2", "warning")
    assert repeats.due(0.9) == []
    assert repeats.due(1.0) == [("warning", "refused: 2 (repeated once)")]
    assert repeats.due(5.0) == []
    assert repeats.admit(1.5, "refused: 3", "warning") is None, "less than a second after it was said"


def test_another_text_and_another_severity_wait_for_nobody():
    repeats = LogThrottle()
    assert repeats.admit(0.0, "a 1", "warning") == "a 1"
    assert repeats.admit(0.0, "a 1", "error") == "a 1"
    assert repeats.admit(0.0, "b 1", "warning") == "b 1"


def test_a_burst_passes_before_anything_is_left_out():
    repeats = LogThrottle(burst=3)
    assert [repeats.admit(0.1 * n, "line") is not None for n in range(5)] == [True, True, True, False, False]
    assert repeats.admit(1.1, "line") == "line (repeated 3 times)"


def test_ever_new_texts_do_not_grow_it_without_bound():
    repeats = LogThrottle()
    for number in range(3000):
        repeats.admit(0.0, "x" * (number + 1))
    assert len(repeats._said) <= 1000


@given(st.lists(st.floats(0.0, 0.7), max_size=200))
def test_at_most_one_a_second_and_none_is_uncounted(gaps):
    repeats, now, said, counted = LogThrottle(), 0.0, [], 0
    for gap in gaps:
        now += gap
        for text in (repeats.admit(now, "x"), *(text for _, text in repeats.due(now))):
            if text is not None:
                said.append(now)
                counted += int(text.split()[-2]) if text.endswith("times)") else 1
    counted += sum(it.left_out for it in repeats._said.values())
    assert counted == len(gaps)
    assert all(b - a >= 1.0 - 1e-9 for a, b in zip(said, said[1:], strict=False))
