"""Adaptive re-entry: it trusts a speculation exactly as far as the calibrated map allows."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_common.actions import pack
from clwm_policy.engine.calibration import Calibration, CalibrationError
from clwm_policy.engine.conversion import Border
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.program import Refined, verify
from clwm_policy.engine.re_entry import START, Adaptive, Plan, Point, parse_re_entry
from clwm_policy.engine.refinement import refinements
from clwm_policy.errors import NothingRequested

PLAN = Plan(2, 4)
POINTS = tuple(refinements(PLAN))
END = Point(2, 4)


def a_map(edges=(0.001,), bounds=None) -> Calibration:
    """By default anything may be kept below the first edge."""
    bounds = bounds or [[0.004] * len(POINTS)] * len(edges)
    return Calibration(PLAN, 0.95, tuple(edges), tuple(map(tuple, bounds)), "tiny", "e" * 64)


@pytest.fixture
def adaptive_episode(make_episode):
    """An episode whose engine runs `adaptive` with the given map."""

    def make(calibration=None):
        episode = make_episode("fixed:1")
        episode.engine._re_entry = Adaptive(calibration=calibration or a_map())
        return episode

    return make


def speculate(episode):
    episode.engine.request(episode.next_request())
    while episode.engine.advance():
        pass


def expected_observation(episode):
    """The frame and state that the speculation was made for: a perfect surrogate."""
    surrogate = episode.engine.surrogate
    return episode.frame(features=surrogate.features), episode.state(surrogate.state)


def test_a_perfect_surrogate_is_kept_to_its_end_and_gives_the_sequential_chunk(adaptive_episode, make_episode):
    fast, slow = adaptive_episode(), make_episode("sequential")
    for episode in (fast, slow):
        episode.run(1)
    for _ in range(3):
        speculate(fast)
        slow.engine.request(slow.next_request())
        frame, state = expected_observation(fast)
        (fast.last, report), (slow.last, _) = (episode.engine.observe(frame, state) for episode in (fast, slow))
        # The previews are fused with the encoding, which may round the last bit of the first chunk's memory otherwise.
        np.testing.assert_allclose(fast.last.rows, slow.last.rows, atol=1e-5)
        assert report.re_entry_s == 1.0
        assert report.disagreement == 0.0
        assert report.expected_deviation == 0.004
        assert report.nfe_blocking == 2


@pytest.mark.parametrize("kept", POINTS)
def test_where_nothing_was_mispredicted_every_refinement_is_the_sequential_chunk(make_episode, tiny_policy, kept):
    # A memory that learns nothing: a refined chunk reads that of the speculation, the sequential one its own.
    policy = copy.deepcopy(tiny_policy)
    for block in policy.model.blocks:
        torch.nn.init.constant_(block.memory.step_size, -1e3)
    fast, slow = make_episode("fixed:1", policy=policy), make_episode("sequential", policy=policy)
    bounds = [[0.004 if point <= kept else 0.006 for point in POINTS]]
    fast.engine._re_entry = Adaptive(calibration=a_map(bounds=bounds))
    for episode in (fast, slow):
        episode.run(1)
    speculate(fast)
    slow.engine.request(slow.next_request())
    frame, state = expected_observation(fast)
    (chunk, report), (sequential, _) = (episode.engine.observe(frame, state) for episode in (fast, slow))
    assert report.nfe_blocking == 2 + refinements(PLAN)[kept].nfe
    np.testing.assert_allclose(chunk.rows, sequential.rows, atol=1e-5)


def test_a_huge_disagreement_restarts_and_gives_the_sequential_chunk(adaptive_episode, make_episode):
    fast, slow = adaptive_episode(a_map(edges=(1e-9,))), make_episode("sequential")
    for episode in (fast, slow):
        made = episode.run(3)
    np.testing.assert_allclose(fast.last.rows, slow.last.rows, atol=1e-5)
    assert fast.engine.memory.observations == slow.engine.memory.observations
    _, report = fast.run(1)[0]
    assert (report.re_entry_s, report.expected_deviation) == (0.0, 0.0)
    assert report.disagreement > 1e-9
    assert report.nfe_blocking == 2 + 2 + 4
    assert made[-1][1].policy == "sequential"


@pytest.mark.parametrize("kept", POINTS)
def test_the_latest_point_that_keeps_the_bound_is_resumed_with_the_same_bits_as_when_it_is_tried(
    adaptive_episode, kept
):
    bounds = [[0.004 if point <= kept else 0.006 for point in POINTS]]
    episode = adaptive_episode(a_map(edges=(1e9,), bounds=bounds))
    episode.run(1)
    speculate(episode)
    expected = episode.engine.trial(episode.frame(), episode.state()).rows(kept, corrected=True)
    chunk, report = episode.engine.observe(episode.frame(), episode.state())
    np.testing.assert_array_equal(chunk.rows, expected)
    assert report.nfe_blocking == 2 + refinements(PLAN)[kept].nfe
    assert (report.re_entry_video_s, report.re_entry_s) == (kept.video / 2, kept.action / 4)


@pytest.mark.parametrize("idle_steps", [0, 3, 5, 9])
def test_a_speculation_that_did_not_get_to_its_end_is_not_trusted(adaptive_episode, idle_steps):
    # Idle steps of the second chunk: encode, write, video, video, absorb, the preview, then four of stage 2.
    episode = adaptive_episode(a_map(edges=(1e9,)))
    episode.run(1)
    ((_, report),) = episode.run(1, idle_steps=idle_steps)
    # The preview of stage 1 is made with the encoding, that of stage 2 before its integration.
    assert (report.re_entry_s, report.nfe_blocking) == (0.0, 1 + 2 + 1 + 4)
    assert math.isnan(report.disagreement)


def test_a_speculation_gone_to_nan_is_not_trusted(adaptive_episode):
    episode = adaptive_episode(a_map(edges=(1e9,)))
    episode.run(1)
    speculate(episode)
    states = episode.engine._branch.speculation._action.states
    states[1:] = [torch.full_like(state, math.nan) for state in states[1:]]
    chunk, report = episode.engine.observe(episode.frame(), episode.state())
    assert np.isfinite(chunk.rows).all()
    assert report.re_entry_s == 0.0


def test_trying_observations_leaves_the_long_term_memory_and_the_chunk_as_they_were(adaptive_episode):
    tried, plain = adaptive_episode(a_map(edges=(1e9,))), adaptive_episode(a_map(edges=(1e9,)))
    for episode in (tried, plain):
        episode.run(1)
        speculate(episode)
    before = tried.engine.memory.digest(), tried.engine.memory.observations
    other = tried.frame(features=np.ones((3, 2, 2, 6), np.float16))
    trial = tried.engine.trial(other, tried.state())
    for point in POINTS:
        trial.rows(point)
        trial.rows(point, corrected=True)
    trial.rows(Point(2, 1))
    trial.rows()
    trial.disagreement()
    assert (tried.engine.memory.digest(), tried.engine.memory.observations) == before
    chunks = [episode.engine.observe(episode.frame(), episode.state())[0] for episode in (tried, plain)]
    np.testing.assert_array_equal(chunks[0].rows, chunks[1].rows)


def test_a_trial_from_the_start_is_the_sequential_chunk_and_at_the_end_the_blind_one(make_episode):
    fixed, slow = make_episode("fixed:1"), make_episode("sequential")
    for episode in (fixed, slow):
        episode.run(1)
    speculate(fixed)
    slow.engine.request(slow.next_request())
    trial = fixed.engine.trial(fixed.frame(), fixed.state())
    sequential, _ = slow.engine.observe(slow.frame(), slow.state())
    blind, _ = fixed.engine.observe(fixed.frame(), fixed.state())
    np.testing.assert_array_equal(trial.rows(), sequential.rows)
    np.testing.assert_array_equal(trial.rows(END), blind.rows)


@pytest.mark.parametrize("committed", [1, 3])
def test_a_trial_with_a_shorter_prefix_keeps_those_rows_and_makes_the_others(make_episode, committed):
    episode = make_episode("fixed:0.5")
    episode.run(1)
    speculate(episode)
    trial = episode.engine.trial(episode.frame(), episode.state())
    prefix = episode.engine.pending.committed_prefix
    shorter = trial.from_start(committed)
    np.testing.assert_array_equal(trial.from_start(len(prefix)), trial.rows())
    np.testing.assert_array_equal(shorter[:committed], prefix[:committed])
    assert (np.abs(shorter[committed : len(prefix)] - prefix[committed:]).max(axis=1) > 0.0).all()


def test_the_disagreement_is_the_size_of_what_the_correction_adds_to_the_finished_chunk(make_episode, adaptive_episode):
    episode = adaptive_episode()
    episode.run(1)
    speculate(episode)
    trial = episode.engine.trial(episode.frame(), episode.state())
    difference = (trial.rows(END, corrected=True).astype(np.float64) - trial.rows(END))[4:]
    shift = max(np.linalg.norm(difference[:, part], axis=1).max() for part in (slice(0, 3), slice(7, 10)))
    assert trial.disagreement() >= shift * (1.0 - 1e-4)
    assert shift > 0.0


def test_where_fine_and_coarse_are_the_same_a_corrected_speculation_is_the_sequential_chunk(make_episode, tiny_policy):
    # One step of each stage, and a memory that learns nothing: then the previews are all there is to the program.
    policy = copy.deepcopy(tiny_policy)
    for block in policy.model.blocks:
        torch.nn.init.constant_(block.memory.step_size, -1e3)
    episode = make_episode("fixed:1", video_steps=1, action_steps=1, policy=policy)
    episode.engine._re_entry = Adaptive(calibration=a_map())
    episode.run(2)
    speculate(episode)
    trial = episode.engine.trial(episode.frame(), episode.state())
    np.testing.assert_allclose(trial.rows(Point(1, 1), corrected=True), trial.rows(), atol=1e-5)
    assert np.abs(trial.rows(Point(1, 1)) - trial.rows()).max() > 1e-2


def test_the_observation_of_a_corrected_chunk_is_written_after_it_and_exactly_once(adaptive_episode):
    episode = adaptive_episode(a_map(edges=(1e9,)))
    episode.run(1)
    speculate(episode)
    chunk = episode.engine.finish(episode.frame(), episode.state())
    assert chunk.re_entry == "adaptive"
    assert episode.engine.memory.observations == 2
    assert episode.engine.report().memory_updates == 2
    assert episode.engine.memory.observations == 2


def test_nothing_can_be_tried_before_something_is_speculated(make_episode):
    episode = make_episode("fixed:0.5")
    episode.engine.request(episode.next_request())
    with pytest.raises(NothingRequested, match="nothing is speculated"):
        episode.engine.trial(episode.frame(), episode.state())


def test_an_engine_refuses_adaptive_without_a_calibration(tiny_policy, made_up_embedding):
    with pytest.raises(CalibrationError, match="clwm calibrate"):
        Engine(tiny_policy, made_up_embedding, parse_re_entry("adaptive"), PLAN, float)


deviations = st.one_of(st.floats(0.0, 0.02), st.just(math.inf))


@given(st.lists(deviations, min_size=len(POINTS), max_size=len(POINTS)), st.sampled_from((START, *POINTS)))
def test_what_is_chosen_is_reached_keeps_the_bound_and_nothing_later_would(values, reached):
    chosen = Adaptive(calibration=a_map(edges=(1.0,), bounds=[values])).choose(reached, PLAN, 0.5)
    by_point = dict(zip(POINTS, values, strict=True))
    assert chosen <= reached
    assert chosen == START or by_point[chosen] <= 0.005
    assert all(value > 0.005 for point, value in by_point.items() if chosen < point <= reached)


@given(st.sampled_from([math.nan, math.inf, 1.1]))
def test_what_was_never_seen_in_calibration_starts_from_the_start(disagreement):
    policy = Adaptive(calibration=a_map(edges=(1.0,)))
    assert policy.choose(END, PLAN, disagreement) == START
    assert policy.expected_deviation(START, disagreement) == 0.0


@pytest.mark.parametrize(("text", "bound"), [("adaptive", 0.005), ("adaptive:2", 0.002), ("adaptive:12.5", 0.0125)])
def test_adaptive_is_named_as_it_is_written(text, bound):
    policy = parse_re_entry(text)
    assert (policy.name, policy.bound) == (text, bound)


@pytest.mark.parametrize("text", ["adaptive:", "adaptive:tight", "adaptive:0", "adaptive:-1", "adaptive:nan"])
def test_a_bound_that_cannot_be_understood_is_refused(text):
    with pytest.raises(ValueError, match="bound is"):
        parse_re_entry(text)


def test_a_draft_that_did_not_come_to_its_end_cannot_be_held_against_another_observation(adaptive_episode):
    episode = adaptive_episode()
    episode.run(1)
    episode.engine.request(episode.next_request())
    episode.engine.advance()
    while episode.engine._branch.speculation is None:
        episode.engine.advance()
    trial = episode.engine.trial(episode.frame(), episode.state())
    for ask in (trial.disagreement, lambda: trial.rows(END, corrected=True)):
        with pytest.raises(ValueError, match="cannot verify"):
            ask()


def test_a_speculation_without_previews_cannot_be_held_against_another_observation(make_episode):
    episode = make_episode("fixed:1")
    episode.run(1)
    speculate(episode)
    assert episode.engine.speculated_to == END
    with pytest.raises(ValueError, match="without previews"):
        episode.engine.trial(episode.frame(), episode.state()).disagreement()


@torch.inference_mode()
@pytest.mark.parametrize("point", [START, Point(2, 1)])
def test_a_draft_cannot_be_refined_from_where_nothing_was_calibrated(adaptive_episode, point):
    episode = adaptive_episode()
    episode.run(1)
    speculate(episode)
    speculation = episode.engine._branch.speculation
    verified = verify(speculation.encoded.again(), speculation.finished)
    with pytest.raises(ValueError, match=r"cannot refine at .*expected .*Point\(video=2, action=2\)"):
        Refined(verified, point)


def test_a_refined_prediction_is_made_on_the_memory_that_the_observation_was_written_to(adaptive_episode):
    first = [[0.004, *([0.006] * (len(POINTS) - 1))]]
    episode, plain = adaptive_episode(a_map(edges=(1e9,), bounds=first)), adaptive_episode(a_map(edges=(1e-9,)))
    for each in (episode, plain):
        each.run(1)
        speculate(each)
    _, report = episode.engine.observe(episode.frame(), episode.state())
    plain.engine.observe(plain.frame(), plain.state())
    assert (report.re_entry_video_s, report.re_entry_s, report.steps_cut) == (0.5, 0.0, 0)
    assert report.memory_updates == 2
    assert episode.engine.memory.digest() == plain.engine.memory.digest()


def test_an_overshooting_correction_asks_for_no_opening_beyond_those_of_the_data(tiny_policy):
    prefix = pack([0.0, 0, 0, 0, 0, 0, 1], [0.0, 0, 0, 0, 0, 0, 1], np.zeros(14), np.zeros(2))[None]
    coded = torch.ones(1, 16, 30)
    coded[0, 1:, 28], coded[0, 1:, 29] = 1.7, -3.0
    rows = Border(tiny_policy).rows(coded, prefix)
    scale = tiny_policy.codec.chunk
    np.testing.assert_array_equal(rows[1:, 28], np.float32(scale.high[28]))
    np.testing.assert_array_equal(rows[1:, 29], np.float32(scale.low[29]))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cancels=st.lists(st.integers(0, 14), min_size=1, max_size=3), right_after_the_chunk=st.booleans())
def test_cancel_at_any_step_leaves_long_term_memory_untouched(adaptive_episode, cancels, right_after_the_chunk):
    # An observation that was not yet written when the chunk left must get in all the same, once and only once.
    episode, plain = adaptive_episode(a_map(edges=(1e9,))), adaptive_episode(a_map(edges=(1e9,)))
    for each in (episode, plain):
        each.run(1)
        speculate(each)
        each.last = each.engine.finish(each.frame(), each.state())
    expected = plain.engine.memory.digest()
    if not right_after_the_chunk:
        episode.engine.report()
    for steps in cancels:
        request = episode.next_request()
        episode.engine.request(request)
        for _ in range(steps):
            episode.engine.advance()
        assert episode.engine.cancel(request.chunk_id)
        assert episode.engine.memory._held.state.digest() == expected
        assert episode.engine.memory.observations == 2
