"""The engine: what it computes, what it keeps of a speculation, and what it reports."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from clwm_common.actions import GRIPPERS
from clwm_policy.engine.re_entry import Plan, Point
from clwm_policy.model.flow import clamp_prefix, integrate, noise, row_times


def plain_reference(policy, request, frame, state, memory, language, plan: Plan):
    """The paper's sequential pipeline without any bookkeeping: normalised chunk, written memory and prediction."""
    model, codec, anchor = policy.model, policy.codec, request.committed_prefix[0]
    tensor = lambda array: torch.tensor(np.asarray(array, dtype=np.float32))[None]  # noqa: E731
    executed, mask = codec.encode_executed(request.executed_rows, anchor)
    features = policy.features.normalise(frame.features)[None]
    prefix = tensor(codec.encode_rows(request.committed_prefix, anchor))
    with torch.inference_mode():
        context = model.encode_context(
            memory,
            features,
            tensor(codec.encode_state(state.values, anchor)),
            tensor(executed),
            torch.tensor(mask)[None],
            language,
        )
        w_long = model.write(memory, context)
        video_noise = noise(request.episode_seed, request.chunk_id, (1, 12, 6), "video")
        prediction = integrate(
            lambda x, s: model.video_velocity(w_long, context, x, torch.tensor([s])), video_noise, plan.video_steps
        )
        w_work, context = model.absorb(w_long, context, prediction)
        x = clamp_prefix(noise(request.episode_seed, request.chunk_id, (1, 16, 30), "action"), prefix)
        for step in range(plan.action_steps):
            s = row_times(step / plan.action_steps, prefix.shape[1], 16)
            x = clamp_prefix(x + model.action_velocity(w_work, context, x, s) / plan.action_steps, prefix)
    return x, w_long, prediction


def test_sequential_equals_the_plain_computation(make_episode, tiny_policy):
    episode = make_episode("sequential")
    memory = tiny_policy.model.initial_memory(1)
    for _ in range(3):
        request = episode.next_request()
        episode.engine.request(request)
        language = torch.full((1, 384), len(request.instruction) / 10.0)
        expected, memory, _ = plain_reference(
            tiny_policy, request, episode.frame(), episode.state(), memory, language, Plan(2, 4)
        )
        chunk, _ = episode.engine.observe(episode.frame(), episode.state())
        rows = tiny_policy.codec.decode_rows(expected[0].numpy(), request.committed_prefix[0])
        rows[:, GRIPPERS] = np.clip(rows[:, GRIPPERS], -1.0, 1.0)  # the openings of the data
        np.testing.assert_allclose(chunk.rows[chunk.prefix_rows :], rows[chunk.prefix_rows :], atol=1e-5)
        assert episode.engine.memory.digest() == memory.digest()
        episode.last = chunk


def test_sequential_does_nothing_before_the_observation(make_episode):
    episode = make_episode("sequential")
    episode.run(1)
    episode.engine.request(episode.next_request())
    assert not episode.engine.advance()


@pytest.mark.parametrize("re_entry", ["fixed:0.25", "fixed:0.5", "fixed:1"])
def test_with_a_perfect_surrogate_speculation_gives_the_sequential_chunk_bit_for_bit(make_episode, re_entry):
    fast, slow = make_episode(re_entry), make_episode("sequential")
    for chunk in range(4):
        for episode in (fast, slow):
            episode.engine.request(episode.next_request())
        while fast.engine.advance():
            pass
        surrogate = fast.engine.surrogate
        features = fast.frame().features if surrogate is None else surrogate.features
        values = held if (held := getattr(surrogate, "state", None)) is not None else fast.state().values
        made = [e.engine.observe(e.frame(features=features), e.state(values)) for e in (fast, slow)]
        (fast.last, report), (slow.last, _) = made
        np.testing.assert_array_equal(fast.last.rows, slow.last.rows)
        assert report.re_entry_s == (float(re_entry.partition(":")[2]) if chunk else 0.0)
        assert not report.surrogate_error > 0.0


def test_fixed_0_is_the_sequential_stage_2_on_the_speculated_prediction(make_episode, tiny_policy):
    episode = make_episode("fixed:0")
    episode.run(2)
    request = episode.next_request()
    episode.engine.request(request)
    while episode.engine.advance():
        pass
    before = episode.engine.memory.fork()
    prediction = episode.engine._branch.speculation.prediction
    seen = {}

    class Recorder:
        def __getattr__(self, name):
            return getattr(tiny_policy.model, name)

        def absorb(self, memory, context, residual):
            seen["residual"] = residual
            return tiny_policy.model.absorb(memory, context, residual)

    episode.engine._model = Recorder()
    chunk, report = episode.engine.observe(episode.frame(), episode.state())
    assert torch.equal(seen["residual"], prediction)
    assert report.re_entry_s == 0.0
    assert report.nfe_blocking == 4

    language = torch.full((1, 384), len(request.instruction) / 10.0)
    _, w_long, own = plain_reference(
        tiny_policy, request, episode.frame(), episode.state(), before, language, Plan(2, 4)
    )
    assert episode.engine.memory.digest() == w_long.digest()
    assert not torch.equal(own, prediction)


def test_the_true_context_changes_what_speculation_would_have_done(make_episode):
    calibrated, blind = make_episode("fixed:0.5"), make_episode("fixed:1")
    for episode in (calibrated, blind):
        episode.run(2)
    assert not np.array_equal(calibrated.last.rows, blind.last.rows)


def test_the_surrogate_is_grounded_before_anything_is_requested(make_episode):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    assert [episode.engine.advance() for _ in range(3)] == [True, True, False]


def test_speculation_stops_at_the_point_it_can_be_used_to(make_episode):
    episode = make_episode("fixed:0.5", video_steps=3, action_steps=8)
    episode.run(2)
    episode.engine.request(episode.next_request())
    while episode.engine.advance():
        pass
    assert episode.engine.speculated_to == Point(3, 4)


@pytest.mark.parametrize(
    ("idle_steps", "expected_s", "expected_blocking"),
    [(0, 0.0, 6), (2, 0.0, 6), (3, 0.0, 5), (4, 0.0, 4), (5, 0.0, 4), (6, 0.25, 3), (7, 0.5, 2), (50, 0.5, 2)],
)
def test_a_speculation_cut_short_is_resumed_at_its_latest_state(
    make_episode, idle_steps, expected_s, expected_blocking
):
    # Idle steps of the second chunk: encode, write, video, video, absorb, action, action.
    episode = make_episode("fixed:0.5", video_steps=2, action_steps=4)
    episode.run(1)
    ((_, report),) = episode.run(1, idle_steps=idle_steps)
    assert (report.re_entry_s, report.nfe_blocking) == (expected_s, expected_blocking)


def test_the_committed_prefix_comes_back_bit_for_bit(make_episode):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    request = episode.next_request()
    episode.engine.request(request)
    chunk, _ = episode.engine.observe(episode.frame(), episode.state())
    np.testing.assert_array_equal(chunk.rows[: chunk.prefix_rows], request.committed_prefix)
    assert chunk.rows.shape == (16, 30)
    assert chunk.rows.dtype == np.float32


def test_same_inputs_give_the_same_bits_whenever_the_steps_run(make_episode):
    eager, late = make_episode("fixed:0.5"), make_episode("fixed:0.5")
    for _ in range(5):
        while eager.engine.advance():
            pass
        ((chunk_a, report_a),) = eager.run(1)
        ((chunk_b, report_b),) = late.run(1)
        np.testing.assert_array_equal(chunk_a.rows, chunk_b.rows)
        assert report_a.memory_digest == report_b.memory_digest


@pytest.mark.parametrize("change", [{"seed": 8}, {"chunk_id": 1}])
def test_noise_depends_on_episode_seed_and_chunk(make_episode, change):
    chunks = []
    for changes in ({}, change):
        episode = make_episode("sequential", **changes)
        episode.engine.request(episode.next_request())
        fixed_frame = replace(episode.frame(), stamp=1.0, features=np.ones((3, 2, 2, 6), np.float16))
        chunks.append(episode.engine.finish(fixed_frame, episode.state(np.ones(30, np.float32))))
    assert not np.array_equal(chunks[0].rows, chunks[1].rows)


def test_at_rest_nothing_is_speculated_and_the_program_starts_from_the_start(make_episode):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    episode.engine.request(episode.next_request(at_rest=True))
    while episode.engine.advance():
        pass
    _, report = episode.engine.observe(episode.frame(), episode.state())
    assert report.re_entry_s == 0.0
    assert report.nfe_blocking == 6
    assert math.isnan(report.surrogate_error)


def test_a_report_says_how_the_chunk_came_about(make_episode):
    episode = make_episode("fixed:0.5")
    first, second, third = (report for _, report in episode.run(3))
    assert (first.re_entry_s, first.nfe_total, first.nfe_blocking) == (0.0, 6, 6)
    assert math.isnan(first.surrogate_error)
    # Stage 1 of the first chunk ran while blocking; the second's has to be grounded in idle time before the third.
    assert (second.re_entry_s, second.nfe_total, second.nfe_blocking) == (0.5, 6, 2)
    assert (third.re_entry_s, third.nfe_total, third.nfe_blocking) == (0.5, 8, 2)
    assert third.policy == "fixed:0.5"
    assert third.surrogate_error > 0.0
    assert third.copy_error > 0.0
    assert third.memory_updates == 3
    assert third.memory_digest == episode.engine.memory.digest()[:16]
    # The stopwatch counts looks: one more on either side of every step.
    assert (third.context_seconds, third.memory_seconds, third.finish_seconds) == (3.0, 1.0, 2 * 3 + 3)


def test_the_surrogate_error_is_measured_in_sequential_mode_too(make_episode):
    reports = [report for _, report in make_episode("sequential").run(2)]
    assert math.isnan(reports[0].surrogate_error)
    assert reports[1].surrogate_error > 0.0


def test_the_same_surrogate_has_the_same_error_in_every_mode(make_episode):
    sequential, fixed = (make_episode(mode).run(2)[1][1] for mode in ("sequential", "fixed:0.5"))
    assert sequential.surrogate_error == fixed.surrogate_error
    assert sequential.copy_error == fixed.copy_error
