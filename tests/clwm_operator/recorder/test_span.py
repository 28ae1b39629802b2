"""When recordings begin and end."""

from clwm_operator.recorder.span import (
    LINGER,
    Begin,
    End,
    EpisodeSpan,
    TaskHeard,
    Tick,
    VerdictHeard,
    WorldHeard,
)

TASK, OTHER, NONE = TaskHeard(5, "lift the tray", "lift"), TaskHeard(6, "put it down", ""), TaskHeard(6, "", "")
WON = VerdictHeard(5, True, "sim")


def test_a_recording_lasts_from_a_task_until_a_moment_after_its_verdict():
    span = EpisodeSpan()
    assert span.step(0.0, Tick()) == [] and span.step(1.0, TASK) == [Begin(TASK)]
    assert span.step(3.0, WON) == [] and span.step(3.0 + 0.9 * LINGER, Tick()) == []
    assert span.step(3.0 + LINGER, Tick()) == [End("the task was judged", WON)]
    assert not span.is_recording and span.step(9.0, TASK) == []


def test_another_task_ends_one_recording_and_begins_the_next():
    span = EpisodeSpan()
    span.step(1.0, TASK)
    assert span.step(2.0, OTHER) == [End("another task was given", None), Begin(OTHER)]


def test_a_task_that_ends_without_a_verdict_ends_its_recording():
    span = EpisodeSpan()
    span.step(1.0, TASK)
    assert span.step(2.0, NONE) == [End("the task ended", None)]


def test_the_verdict_of_another_epoch_changes_nothing():
    span = EpisodeSpan()
    span.step(1.0, TASK)
    assert span.step(2.0, VerdictHeard(4, False, "sim")) == [] and span.step(60.0, Tick()) == []
    assert span.stop() == [End("the recorder was ended", None)] and span.stop() == []


def test_a_recorder_that_comes_after_the_verdict_keeps_nothing_of_the_task():
    span = EpisodeSpan()
    span.step(10.0, TASK)
    span.step(10.1, WON)
    assert span.step(10.0 + 2 * LINGER, Tick()) == [End("the task was judged", WON, is_kept=False)]


def test_a_verdict_that_is_told_again_does_not_make_a_recording_worthless():
    span = EpisodeSpan()
    span.step(10.0, TASK)
    span.step(13.0, WON)
    span.step(13.1, WON)
    assert span.step(13.1 + LINGER, Tick()) == [End("the task was judged", WON)]


def test_a_reset_of_the_world_ends_a_recording():
    span = EpisodeSpan()
    span.step(0.5, WorldHeard(7))
    span.step(1.0, TASK)
    assert span.step(1.5, WorldHeard(7)) == []
    assert span.step(2.0, WorldHeard(8)) == [End("the world was reset", None)]


def test_a_whole_recording_ends_with_the_recorder_alone():
    span = EpisodeSpan(is_whole=True)
    (began,) = span.step(0.0, Tick())
    assert isinstance(began, Begin)
    for event in (TASK, WON, WorldHeard(1), WorldHeard(2), NONE, Tick()):
        assert span.step(90.0, event) == []
    assert span.stop() == [End("the recorder was ended", WON)]
