"""The session: which frame and state belong to a request, what is sent when, and what happens when one is missing."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_common.clocks import VirtualClock
from clwm_common.messages import ActionChunk, MemoryPolicy, ObservationRequest, RefusalKind, SaiReport
from clwm_policy.errors import NoEstimate, UnknownSnapshot
from clwm_policy.model.success_head import Sizes, SuccessFacts, SuccessHead
from clwm_policy.session import TRANSPORT, ClockJumped, Notice, Session, Severity
from clwm_policy.success_estimate import SuccessEstimate


class Stack:
    """A session with its clock, fed by a made-up episode."""

    def __init__(self, episode, **session):
        self.episode, self.clock = episode, VirtualClock(0.0)
        self.session = Session(episode.engine, self.clock.now, **session)

    def ask(self, **changes):
        request = self.episode.next_request(**changes)
        return request, list(self.session.on_request(request, self.clock.now()))

    def answer(self, **changes):
        self.session.on_state(self.episode.state())
        out = list(self.session.on_frame(self.episode.frame(**changes), self.clock.now()))
        self.episode.last = next((item for item in out if isinstance(item, ActionChunk)), self.episode.last)
        return out


@pytest.fixture
def stack(make_episode):
    return Stack(make_episode("fixed:0.5"))


def kinds(outputs):
    return [type(output) for output in outputs]


def test_a_request_is_followed_by_the_request_for_its_observation(stack):
    request, out = stack.ask()
    assert out == [ObservationRequest(request.chunk_id, request.observe_at)]


def test_the_chunk_leaves_before_its_report_is_worked_out(stack):
    stack.ask()
    stack.session.on_state(stack.episode.state())
    answer = stack.session.on_frame(stack.episode.frame(), 0.6)
    assert isinstance(next(answer), ActionChunk)
    assert stack.episode.engine.memory._digest is None
    assert kinds(answer) == [SaiReport]


def test_a_report_carries_the_stamps_of_its_chunk(stack):
    stack.ask()
    stack.answer()
    while stack.session.advance():
        pass
    stack.clock.advance_to(0.7)
    stack.ask()
    stack.clock.advance_to(0.8)
    while stack.session.advance():
        stack.clock.advance_to(stack.clock.now() + 0.01)
    stack.clock.advance_to(1.3)
    report = stack.answer()[-1]
    assert (report.requested_at, report.speculation_started_at, report.frame_arrived_at) == (0.7, 0.8, 1.3)
    assert 0.8 < report.speculation_ended_at < 0.9
    assert report.finished_at == 1.3
    assert report.observation_stamp == pytest.approx(1.2)


def test_a_chunk_without_speculation_has_no_speculation_stamps(stack):
    stack.ask()
    report = stack.answer()[-1]
    assert (report.speculation_started_at, report.speculation_ended_at) == (0.0, 0.0)


def test_the_state_nearest_to_the_frame_is_used(stack, make_episode):
    other = Stack(make_episode("fixed:0.5"))
    for late, stamps in ((stack, (0.55, 0.6, 0.66)), (other, (0.6,))):
        late.ask()
        for stamp in stamps:
            values = late.episode.state().values + (0.0 if stamp == 0.6 else 1.0)
            late.session.on_state(replace(late.episode.state(values.astype(np.float32)), stamp=stamp))
    chunks = [next(s.session.on_frame(s.episode.frame(), 0.6)) for s in (stack, other)]
    np.testing.assert_array_equal(chunks[0].rows, chunks[1].rows)


def test_without_a_measured_state_nothing_is_made_and_the_operator_is_told(stack):
    stack.ask()
    refusal, notice = stack.session.on_frame(stack.episode.frame(), 0.6)
    assert "is the executor running" in notice.text and refusal.reason in notice.text
    assert refusal.may_pass and refusal.kind is RefusalKind.NO_OBSERVATION
    stack.ask()
    assert kinds(stack.answer()) == [ActionChunk, SaiReport]


def test_a_frame_that_answers_an_earlier_request_is_dropped(stack):
    stack.ask(observe_at=0.7)
    (notice,) = stack.answer(stamp=0.6)
    assert (notice.severity, "dropped" in notice.text) == (Severity.INFO, True)
    assert kinds(stack.answer(stamp=0.66)) == [ActionChunk, SaiReport]


def test_a_frame_for_a_cancelled_chunk_is_dropped(stack):
    request, _ = stack.ask()
    assert kinds(stack.session.on_request(replace(request, cancel=True), 0.1)) == [Notice]
    assert kinds(stack.answer()) == [Notice]
    assert kinds(stack.ask()[1]) == [ObservationRequest]
    assert kinds(stack.answer()) == [ActionChunk, SaiReport]


def test_cancelling_twice_says_nothing_more(stack):
    request, _ = stack.ask()
    list(stack.session.on_request(replace(request, cancel=True), 0.1))
    assert list(stack.session.on_request(replace(request, cancel=True), 0.2)) == []


def test_a_chunk_whose_frame_never_comes_is_declined_once_and_may_be_asked_for_again(stack):
    request, _ = stack.ask()
    stack.clock.advance_to(request.observe_at + 0.9)
    assert list(stack.session.on_tick()) == []
    stack.clock.advance_to(request.observe_at + 1.1)
    refusal, notice = stack.session.on_tick()
    assert notice.severity is Severity.WARNING and "no usable picture for 1.1 s" in notice.text
    assert (refusal.chunk_id, refusal.task_epoch, refusal.may_pass) == (request.chunk_id, request.task_epoch, True)
    stack.clock.advance_to(request.observe_at + 2.2)
    assert list(stack.session.on_tick()) == []
    stack.ask()
    assert kinds(stack.answer()) == [ActionChunk, SaiReport]


def test_the_time_that_is_left_is_told_to_the_engine_in_seconds_of_its_own_stopwatch(stack, monkeypatch):
    request, _ = stack.ask(at_rest=False)
    seen, finish = [], stack.episode.engine.finish
    monkeypatch.setattr(
        stack.episode.engine, "finish", lambda *given, time_left: seen.append(time_left) or finish(*given)
    )
    stack.session.pace = 3.0
    stack.answer()
    assert seen == [pytest.approx((request.needed_by - TRANSPORT - stack.clock.now()) / 3.0)]


def test_a_clock_that_was_set_ends_the_pending_chunk_and_what_was_measured_before_it(stack):
    request, _ = stack.ask()
    stack.session.on_state(stack.episode.state())
    refusal, notice = stack.session.on_clock_jumped(ClockJumped(-5.0))
    assert (refusal.chunk_id, refusal.may_pass) == (request.chunk_id, True)
    assert "the clock went back by 5.00 s" in notice.text
    assert list(stack.session.on_clock_jumped(ClockJumped(5.0))) == []
    stack.ask()
    (refused, _) = stack.session.on_frame(stack.episode.frame(), 0.6)
    assert "no measured state within" in refused.reason


def test_when_the_picture_is_the_last_one_again_a_newer_one_is_asked_for_at_once(stack):
    stack.ask()
    stack.answer()
    stack.clock.advance_to(0.61)
    request, _ = stack.ask(observe_at=0.61, at_rest=True)
    notice, again = stack.answer(stamp=0.6)
    assert notice.severity is Severity.WARNING
    assert again == ObservationRequest(request.chunk_id, 0.61)
    assert kinds(stack.answer(stamp=0.65)) == [ActionChunk, SaiReport]


def test_a_tick_without_a_request_does_nothing(stack):
    assert list(stack.session.on_tick()) == []


REFUSED = {
    "a request without a prefix": ({"committed_prefix": np.zeros((0, 30), np.float32)}, {}, RefusalKind.REQUEST, False),
    "an unknown memory": ({"memory_policy": MemoryPolicy.RESTORE}, {}, RefusalKind.SNAPSHOT, False),
    "another encoder": ({}, {"encoder_hash": "0" * 64}, RefusalKind.OBSERVATION, False),
    "too few cameras": ({}, {"features": np.zeros((1, 2, 2, 6), np.float16)}, RefusalKind.OBSERVATION, False),
    "spoilt features": ({}, {"features": np.full((3, 2, 2, 6), np.nan, np.float16)}, RefusalKind.NO_OBSERVATION, True),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_answered_with_the_reason_and_whether_asking_again_can_help(stack, what):
    asking, seeing, kind, may_pass = REFUSED[what]
    request, out = stack.ask(**asking)
    if seeing:
        stack.session.on_state(stack.episode.state())
        out = list(stack.session.on_frame(stack.episode.frame(**seeing), 0.6))
    refusal, notice = out
    assert (refusal.chunk_id, refusal.task_epoch) == (request.chunk_id, request.task_epoch)
    assert (refusal.kind, refusal.may_pass) == (kind, may_pass)
    assert refusal.reason and refusal.reason in notice.text
    assert stack.episode.engine.pending is None


def test_a_chunk_that_was_not_executed_is_noticed_and_nothing_is_foreseen_from_it(stack):
    stack.ask()
    stack.answer()
    _, out = stack.ask(executed_chunk_id=0)
    assert kinds(out) == [Notice, ObservationRequest] and "chunk 1 was not executed" in out[0].text
    assert stack.session.not_executed == 1
    assert not stack.session.advance()
    stack.clock.advance_to(1.2)
    assert np.isnan(stack.answer()[-1].surrogate_error)


def test_a_task_can_be_checked_before_it_is_asked_for(stack):
    with pytest.raises(UnknownSnapshot, match="no memory was kept for the task 'dance'; kept for: \\[\\]"):
        stack.session.check_task("dance", MemoryPolicy.RESTORE)
    stack.session.check_task("dance", MemoryPolicy.KEEP)


def test_stopping_drops_the_pending_chunk_and_keeps_the_memory(stack):
    stack.ask()
    stack.answer()
    before = stack.episode.engine.memory.digest()
    stack.ask()
    refusal, _ = stack.session.stop()
    assert refusal.kind is RefusalKind.INACTIVE and refusal.may_pass
    assert kinds(stack.answer()) == [Notice]
    assert stack.episode.engine.memory.digest() == before


def test_a_report_says_how_probable_success_is_in_the_frame_that_its_chunk_answers_to(make_episode):
    episode = make_episode("fixed:0.5")
    sizes = Sizes(cameras=3, rows=2, columns=2, channels=6, text_width=384)
    facts = SuccessFacts(encoder_sha256="e" * 64, sizes=sizes, goals=("lift",), threshold=0.5, chunks=2)
    success = SuccessEstimate(SuccessHead(sizes).eval(), facts, episode.engine.known_sentences)
    stack = Stack(episode, success=success)
    request, _ = stack.ask()
    report = stack.answer()[-1]
    assert report.success_estimate == success.probability(episode.frame().features, request.instruction)
    assert stack.session.require_estimate(request.instruction).threshold == 0.5


def test_without_a_success_head_a_report_says_nothing_of_success_and_none_is_promised(stack):
    stack.ask()
    assert np.isnan(stack.answer()[-1].success_estimate)
    with pytest.raises(NoEstimate, match="cannot estimate its success"):
        stack.session.require_estimate("lift the tray")
