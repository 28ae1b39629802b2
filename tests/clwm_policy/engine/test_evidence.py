"""Evidence on idle time: the right chunks, the right deviation, and nothing else changed by it."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.messages import ChunkRequest, MemoryPolicy, SaiReport
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.evidence import Evidence, Tally, is_sampled
from clwm_policy.engine.program import Sequential
from clwm_policy.engine.re_entry import Adaptive, Plan, Point, parse_re_entry
from clwm_policy.engine.tool_motion import chunk_distance
from clwm_policy.recording.episode_log import PlayedStopwatch, RecordedEngine, RecordedStopwatch
from clwm_policy.recording.replay import replay

PLAN = Plan(2, 4)
STEPS = 2 + 1 + 4  # encoded and written it is already: stage 1, absorb, stage 2
END = Point(2, 4)


def trusting() -> Adaptive:
    """`adaptive` that keeps every speculation to its end."""
    return Adaptive(calibration=Calibration(PLAN, 0.95, (1e9,), ((0.9,) * 3 + (0.004,),), "tiny", "e" * 64))


@pytest.fixture
def episode(make_episode, tiny_policy, made_up_embedding):
    """episode(re_entry, fraction) -> an episode whose engine samples this fraction of the chunks."""

    def make(re_entry="adaptive", fraction=1.0, stopwatch=float):
        policy = trusting() if re_entry == "adaptive" else parse_re_entry(re_entry)
        episode = make_episode()
        episode.engine = Engine(tiny_policy, made_up_embedding, policy, PLAN, stopwatch, fraction)
        return episode

    return make


def speculate(episode):
    episode.engine.request(episode.next_request())
    while episode.engine.advance():
        pass


@torch.inference_mode()
def test_the_evidence_is_how_far_the_sent_chunk_lies_from_the_sequential_one(episode, tiny_policy):
    checked = episode()
    checked.run(1)
    speculate(checked)
    trial = checked.engine.trial(checked.frame(), checked.state())
    checked.last, _ = checked.engine.observe(checked.frame(), checked.state())
    sequential, sent = Sequential(trial._encoded.again()), checked.engine._last.program
    while sequential.advance() is not None:
        pass
    expected = float(chunk_distance(sent.rows - sequential.rows, tiny_policy.codec).max())
    ((_, report),) = checked.run(1)
    assert report.evidence_chunk_id == 2
    assert report.evidence_deviation == pytest.approx(expected, rel=1e-6)
    assert expected > 1e-3


def test_a_chunk_that_the_surrogate_foresaw_exactly_did_not_stray(episode):
    checked = episode()
    checked.run(1)
    speculate(checked)
    surrogate = checked.engine.surrogate
    frame, state = checked.frame(features=surrogate.features), checked.state(surrogate.state)
    checked.last, _ = checked.engine.observe(frame, state)
    ((_, report),) = checked.run(1)
    assert report.evidence_chunk_id == 2
    assert report.evidence_deviation < 1e-5


@pytest.mark.parametrize("re_entry", ["adaptive", "fixed:0.5"])
def test_evidence_changes_no_chunk_no_memory_and_no_count_of_evaluations(episode, re_entry):
    checked, plain = episode(re_entry, 1.0), episode(re_entry, 0.0)
    for (chunk, report), (other, expected) in zip(checked.run(4), plain.run(4), strict=True):
        np.testing.assert_array_equal(chunk.rows, other.rows)
        without = replace(report, evidence_chunk_id=0, evidence_deviation=math.nan)
        assert repr(without) == repr(expected)
    assert report.evidence_chunk_id == 3
    assert checked.engine.memory.digest() == plain.engine.memory.digest()


@pytest.mark.parametrize("idle_steps", [3, 17, 19, 100])
def test_evidence_replays_bit_for_bit_however_far_it_got(episode, idle_steps):
    recorded, entries = episode(), []
    stopwatch = RecordedStopwatch(float)
    log = SimpleNamespace(write=entries.append, close=lambda: None)
    recorded.engine = RecordedEngine(recorded.engine, stopwatch, log)
    recorded.engine.observe = lambda frame, state: (recorded.engine.finish(frame, state), recorded.engine.report())
    made = recorded.run(4, idle_steps)
    # Idle steps of a chunk: grounding 2, speculation 9 at most, then 7 of evidence.
    assert (made[-1][1].evidence_chunk_id == 3) == (idle_steps > 17)
    outcome = replay(entries, episode().engine, PlayedStopwatch())
    assert (outcome.chunks, outcome.difference) == (4, None)
    assert idle_steps < 100 or replay(entries, episode(fraction=0.0).engine, PlayedStopwatch()).difference is not None


def test_the_memory_is_the_same_after_every_step_of_evidence(episode):
    checked = episode()
    checked.run(2)
    before, steps = checked.engine.memory.digest(), 0
    while checked.engine.advance():
        steps += checked.engine.was_evidence
        assert checked.engine.memory._held.state.digest() == before
    assert steps == STEPS
    assert checked.engine.memory.observations == 2


def test_evidence_waits_until_nothing_is_left_to_speculate(episode):
    checked = episode()
    checked.run(2)
    checked.engine.request(checked.next_request())
    kinds = []
    while checked.engine.advance():
        kinds.append(checked.engine.was_evidence)
    assert kinds == sorted(kinds)
    assert checked.engine.speculated_to == END
    assert kinds.count(True) == STEPS


def test_a_request_that_comes_during_evidence_is_speculated_on_first(episode):
    checked = episode()
    checked.run(2)
    while not checked.engine.was_evidence:
        assert checked.engine.advance()
    checked.engine.request(checked.next_request())
    checked.engine.advance()
    assert not checked.engine.was_evidence


class Chunk:
    """A finished chunk whose twin takes so many steps and comes out `rows`."""

    def __init__(self, steps, rows=None):
        self.rows, self._steps = torch.zeros(1, 16, 30), steps
        self._twin_rows = torch.ones(1, 16, 30) if rows is None else rows

    def sequential(self):
        twin = Chunk(0)
        twin.rows, left = None, iter(range(self._steps - 1, -1, -1))

        def advance():
            if next(left) == 0:
                twin.rows = self._twin_rows

        twin.advance = advance
        return twin


REQUEST = ChunkRequest(5, 0, 0.0, 0.0)


@settings(max_examples=10, deadline=None)
@given(steps=st.integers(0, 6))
def test_unfinished_evidence_is_dropped_with_the_next_frame(steps, tiny_policy):
    evidence, sent = Evidence(1.0, tiny_policy.codec), Chunk(7)
    evidence.begin(sent, REQUEST)
    for _ in range(steps):
        assert evidence.advance()
    assert math.isnan(evidence.found[1])
    evidence.drop()
    assert not evidence.advance()
    assert evidence.found[0] == 0 and math.isnan(evidence.found[1])


def test_a_sequential_chunk_that_is_not_finite_is_no_evidence_for_the_sent_one(tiny_policy):
    evidence = Evidence(1.0, tiny_policy.codec)
    evidence.begin(Chunk(1, torch.full((1, 16, 30), math.nan)), REQUEST)
    assert evidence.advance()
    assert evidence.found == (5, math.inf)


def test_chunks_from_the_start_give_no_evidence(episode):
    checked = episode("sequential")
    checked.run(2)
    assert not checked.engine.advance()
    checked = episode()
    checked.run(1)
    while checked.engine.advance():
        assert not checked.engine.was_evidence


def test_a_chunk_cut_for_its_deadline_gives_no_evidence(episode):
    ticks = iter(range(10**9))
    checked = episode(stopwatch=lambda: float(next(ticks)))
    checked.run(5)
    checked.engine.request(checked.next_request())
    for _ in range(9):  # stage 2 has a step left, for which there is no time
        checked.engine.advance()
    checked.engine.finish(checked.frame(), checked.state(), time_left=0.0)
    report = checked.engine.report()
    assert report.uncalibrated or report.re_entry_s == 0.0
    while checked.engine.advance():
        assert not checked.engine.was_evidence


@pytest.mark.parametrize("change", ["task", "episode", "cancelled request"])
def test_a_new_task_or_episode_drops_the_evidence_and_a_cancelled_request_does_not(episode, change):
    checked = episode()
    checked.run(2)
    while not checked.engine.was_evidence:
        checked.engine.advance()
    if change == "task":
        checked.engine.set_task(2, "place the block", MemoryPolicy.KEEP)
    elif change == "episode":
        checked.engine.start_episode()
    else:
        request = checked.next_request()
        checked.engine.request(request)
        checked.engine.cancel(request.chunk_id)
    worked = False
    while checked.engine.advance():
        worked |= checked.engine.was_evidence
    assert worked == (change == "cancelled request")


@given(st.integers(0, 2**63), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_sample_grows_with_its_fraction_and_hangs_on_nothing_else(seed, one, other):
    small, large = sorted((one, other))
    for chunk_id in range(20):
        assert is_sampled(seed, chunk_id, small) <= is_sampled(seed, chunk_id, large)
        assert is_sampled(seed, chunk_id, 1.0) and not is_sampled(seed, chunk_id, 0.0)


def test_as_many_chunks_are_sampled_as_stated():
    sampled = sum(is_sampled(seed, chunk, 0.1) for seed in range(100) for chunk in range(100))
    assert 900 < sampled < 1100


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_an_impossible_fraction_is_refused(tiny_policy, fraction):
    with pytest.raises(ValueError, match="evidence_fraction is .*expected 0"):
        Evidence(fraction, tiny_policy.codec)


def reports(expected, deviations):
    """One report per chunk; each brings the evidence about the chunk before."""
    for chunk_id, (stated, found) in enumerate(zip(expected, [math.nan, *deviations], strict=True), start=1):
        yield SaiReport(
            chunk_id, 1, "adaptive", expected_deviation=stated, evidence_chunk_id=chunk_id - 1, evidence_deviation=found
        )


def test_the_tally_holds_every_deviation_against_what_was_stated_for_that_chunk():
    tally = Tally()
    for report in reports([0.002, 0.004, 0.001, math.nan, 0.003], [0.003, 0.003, math.nan, 0.009]):
        tally.add(report)
    assert (tally.made_again, tally.stated, tally.kept, tally.largest) == (3, 2, 1, 0.009)
    values = tally.values(0.95)
    assert values["evidence_kept"] == "1 of 2: 0.500"
    assert values["evidence_kept_95"] == "0.095 to 0.905"
    assert values["evidence_stated"] == 0.95


def test_without_a_stated_bound_the_evidence_is_only_counted():
    tally = Tally()
    for report in reports([math.nan] * 3, [0.002, 0.001]):
        tally.add(report)
    assert tally.values(None) == {"evidence_chunks": 2, "evidence_deviation_mm_max": 2.0}
