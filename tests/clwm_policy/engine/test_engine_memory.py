"""What may change the long-term memory, and what must not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_common.messages import MemoryPolicy
from clwm_policy.engine.conversion import measured
from clwm_policy.errors import (
    BadFrame,
    BadState,
    DuplicateFrame,
    EncoderMismatch,
    EngineError,
    NonFiniteOutput,
    NothingRequested,
    RequestRefused,
    StaleFrame,
    UnknownSnapshot,
)
from clwm_policy.memory.long_term import SNAPSHOTS_MAX, LongTermMemory


def test_no_step_of_idle_work_touches_the_long_term_memory(make_episode):
    episode = make_episode("fixed:1", video_steps=3, action_steps=5)
    for _ in range(3):
        episode.run(1)
        before = episode.engine.memory.digest()
        episode.engine.request(episode.next_request())
        while episode.engine.advance():
            assert episode.engine.memory._held.state.digest() == before
        episode.last = episode.engine.observe(episode.frame(), episode.state())[0]


def test_one_real_observation_is_one_update_in_every_mode(make_episode):
    digests = []
    for mode in ("sequential", "fixed:0.5"):
        episode = make_episode(mode)
        reports = [report for _, report in episode.run(1)]
        assert [report.memory_updates for report in reports] == [1]
        digests.append(reports[0].memory_digest)
    assert digests[0] == digests[1]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cancels=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["cancel", "request", "epoch"])), max_size=4))
def test_cancel_at_any_step_leaves_long_term_memory_untouched(make_episode, cancels):
    episode = make_episode("fixed:0.75")
    episode.run(2)
    for steps, how in cancels:
        before = episode.engine.memory.digest()
        request = episode.next_request()
        episode.engine.request(request)
        for _ in range(steps):
            episode.engine.advance()
        if how == "cancel":
            assert episode.engine.cancel(request.chunk_id)
            with pytest.raises(NothingRequested):
                episode.engine.observe(episode.frame(), episode.state())
        elif how == "epoch":
            episode.epoch += 1
        assert episode.engine.memory._held.state.digest() == before
        assert episode.engine.memory.observations == 2
    chunk, report = episode.run(1)[0]
    assert chunk.chunk_id == episode.chunk_id
    assert report.memory_updates == 3


def test_a_cancelled_branch_leaves_no_trace_in_later_chunks(make_episode):
    plain, disturbed = make_episode("fixed:0.5"), make_episode("fixed:0.5")
    for episode in (plain, disturbed):
        episode.run(2)
    dropped = disturbed.next_request()
    disturbed.engine.request(dropped)
    for _ in range(6):
        disturbed.engine.advance()
    disturbed.engine.request(replace(dropped, cancel=True))
    disturbed.chunk_id -= 1
    np.testing.assert_array_equal(plain.run(1)[0][0].rows, disturbed.run(1)[0][0].rows)


def test_cancelling_another_chunk_keeps_the_branch(make_episode):
    episode = make_episode()
    episode.engine.request(episode.next_request())
    assert not episode.engine.cancel(99)
    assert episode.engine.pending.chunk_id == 1


def test_a_request_of_a_new_epoch_drops_branch_and_surrogate(make_episode):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    episode.engine.request(episode.next_request())
    while episode.engine.advance():
        pass
    episode.epoch = 2
    episode.engine.request(episode.next_request(instruction="place the block"))
    assert not episode.engine.advance()
    chunk, report = episode.engine.observe(episode.frame(), episode.state())
    assert (chunk.task_epoch, report.nfe_blocking, report.memory_updates) == (2, 6, 3)


def test_another_instruction_is_another_task_whatever_its_epoch(make_episode):
    # An executor that was started again counts its tasks anew.
    told, fresh = make_episode(), make_episode()
    told.run(1)
    told.chunk_id = 0
    asked = {"instruction": "place the block", "memory_policy": MemoryPolicy.RESET}
    chunks = []
    for episode in (told, fresh):
        episode.last = None
        episode.engine.request(episode.next_request(**asked))
        chunks.append(episode.engine.observe(episode.frame(), episode.state())[0])
    np.testing.assert_array_equal(chunks[0].rows, chunks[1].rows)


def test_a_new_episode_takes_its_instruction_from_its_first_request(make_episode):
    again, fresh = make_episode(), make_episode()
    again.run(1)
    again.engine.start_episode()
    again.chunk_id, again.last = 0, None
    chunks = []
    for episode in (again, fresh):
        episode.engine.request(episode.next_request(instruction="raise the tray"))
        chunks.append(episode.engine.observe(episode.frame(), episode.state())[0])
    np.testing.assert_array_equal(chunks[0].rows, chunks[1].rows)


def test_reset_and_restore_bring_the_memory_to_a_known_state(make_episode):
    episode = make_episode()
    fresh = episode.engine.memory.digest()
    episode.run(2)
    learned = episode.engine.memory.digest()

    episode.engine.set_task(2, "place the block", MemoryPolicy.RESET)
    assert episode.engine.memory.digest() == fresh
    assert episode.engine.memory.observations == 0

    episode.engine.set_task(3, "lift the tray", MemoryPolicy.RESTORE)
    assert episode.engine.memory.digest() == learned
    assert episode.engine.memory.observations == 2


def test_restoring_a_task_not_met_before_is_refused_and_changes_nothing(make_episode):
    episode = make_episode()
    episode.run(1)
    pending = episode.next_request()
    episode.engine.request(pending)
    before = episode.engine.memory.digest()
    with pytest.raises(UnknownSnapshot, match="pour the tea"):
        episode.engine.request(
            episode.next_request(task_epoch=2, instruction="pour the tea", memory_policy=MemoryPolicy.RESTORE)
        )
    assert episode.engine.memory.digest() == before
    assert episode.engine.pending == pending


def test_a_new_episode_has_an_empty_memory_and_may_start_at_an_earlier_time(make_episode):
    episode = make_episode()
    fresh = episode.engine.memory.digest()
    episode.run(3)
    episode.engine.start_episode()
    assert episode.engine.memory.digest() == fresh
    episode.chunk_id = 0
    assert [report.memory_updates for _, report in episode.run(2)] == [1, 2]


def test_snapshots_are_bounded_and_the_oldest_goes_first(tiny_policy):
    memory = LongTermMemory(tiny_policy.model.initial_memory(1))
    for index in range(SNAPSHOTS_MAX + 2):
        memory.save(f"task {index}")
    assert len(memory.snapshots) == SNAPSHOTS_MAX
    with pytest.raises(UnknownSnapshot, match="task 0"):
        memory.restore("task 0")


def nan_at(shape, index):
    array = np.zeros(shape, np.float16)
    array[index] = np.nan
    return array


@pytest.mark.parametrize(
    ("frame", "values", "error", "said"),
    [
        ({"stamp": 0.1}, None, StaleFrame, "older than"),
        ({"stamp": 1.2}, None, DuplicateFrame, "already taken in"),
        ({"encoder_hash": "0" * 64}, None, EncoderMismatch, "000000000000"),
        ({"features": np.zeros((3, 4, 4, 6), np.float16)}, None, BadFrame, r"\(3, 4, 4, 6\)"),
        ({"features": nan_at((3, 2, 2, 6), (1, 0, 0, 0))}, None, BadFrame, "left_wrist"),
        ({}, np.full(30, np.nan, np.float32), BadState, "channel 0"),
        ({}, np.zeros(29, np.float32), BadState, r"\(29,\)"),
    ],
)
def test_a_bad_observation_is_refused_and_a_good_one_may_still_answer(make_episode, frame, values, error, said):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    before = episode.engine.memory.digest()
    episode.engine.request(episode.next_request())
    while episode.engine.advance():
        pass
    with pytest.raises(error, match=said):
        episode.engine.observe(episode.frame(**frame), episode.state(values))
    assert episode.engine.memory._held.state.digest() == before
    chunk, report = episode.engine.observe(episode.frame(), episode.state())
    assert np.isfinite(chunk.rows).all()
    assert report.memory_updates == 3


@pytest.mark.parametrize(
    "cameras", [("left_wrist", "head", "right_wrist"), ("front", "left_wrist", "right_wrist"), ("head", "left_wrist")]
)
def test_features_of_swapped_or_other_cameras_are_refused_and_leave_no_trace(make_episode, cameras):
    episode = make_episode()
    before = episode.engine.memory.digest()
    episode.engine.request(episode.next_request())
    with pytest.raises(
        BadFrame, match=f"cameras are {', '.join(cameras)}; .* trained on head, left_wrist, right_wrist"
    ):
        episode.engine.observe(episode.frame(cameras=cameras), episode.state())
    assert episode.engine.memory.digest() == before and episode.engine.pending is not None


def test_an_unmeasured_joint_is_refused(make_episode):
    episode = make_episode()
    episode.engine.request(episode.next_request())
    state = episode.state()
    state.valid[17] = False
    with pytest.raises(BadState, match="channel 17"):
        episode.engine.observe(episode.frame(), state)


def test_a_joint_that_the_robot_lacks_is_missed_by_a_policy_that_was_trained_with_it_alone(make_episode):
    state, used = make_episode().state(), np.ones(30, np.bool_)
    state.valid[20], state.values[20] = False, np.nan
    with pytest.raises(BadState, match="channel 20, left_joint7, with which this policy was trained"):
        measured(state, used)
    used[20] = False
    values = measured(state, used)
    assert values[20] == 0.0 and np.isfinite(values).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"committed_prefix": np.zeros((0, 30), np.float32)}, "0 rows"),
        ({"committed_prefix": np.zeros((16, 30), np.float32)}, "16 rows"),
        ({"committed_prefix": np.zeros((1, 14), np.float32)}, r"\(1, 14\)"),
        ({"committed_prefix": np.full((1, 30), np.inf, np.float32)}, "inf"),
        ({"committed_prefix": np.zeros((3, 30), np.float32)}, "3 rows; .* trained with 1 or 2 or 4: .* to 12 or 16"),
        ({"committed_prefix": np.zeros((8, 30), np.float32)}, "8 rows; the policy was trained with 1 or 2 or 4"),
        ({"executed_rows": np.full((2, 30), np.nan, np.float32)}, "nan"),
        ({"layout_version": 2}, "layout version 2"),
    ],
)
def test_a_bad_request_is_refused_and_the_pending_one_goes_on(make_episode, changes, said):
    episode = make_episode()
    good = episode.next_request()
    episode.engine.request(good)
    with pytest.raises(RequestRefused, match=said):
        episode.engine.request(episode.next_request(**changes))
    assert episode.engine.pending == good


class Poisoned:
    """The model with one call giving NaN."""

    def __init__(self, model, call):
        self._model, self._call = model, call

    def __getattr__(self, name):
        function = getattr(self._model, name)
        return (lambda *args: function(*args) * np.nan) if name == self._call else function


def test_a_model_that_gives_nan_makes_no_chunk_and_no_memory(make_episode, tiny_policy):
    episode = make_episode("sequential")
    episode.run(1)
    before = episode.engine.memory.digest()
    episode.engine.request(episode.next_request())
    episode.engine._model = Poisoned(tiny_policy.model, "action_velocity")
    with pytest.raises(NonFiniteOutput, match="not finite"):
        episode.engine.observe(episode.frame(), episode.state())
    assert episode.engine.memory._held.state.digest() == before
    episode.engine._model = tiny_policy.model
    assert episode.engine.observe(episode.frame(), episode.state())[1].memory_updates == 2


def test_a_surrogate_that_went_to_nan_is_not_resumed(make_episode, tiny_policy):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    episode.engine.request(episode.next_request())
    real = episode.engine._last.program.encoded._model
    episode.engine._last.program.encoded._model = Poisoned(tiny_policy.model, "video_velocity")
    while episode.engine.advance():
        pass
    episode.engine._last.program.encoded._model = real
    chunk, report = episode.engine.observe(episode.frame(), episode.state())
    assert np.isfinite(chunk.rows).all()
    assert (report.re_entry_s, report.nfe_blocking) == (0.0, 6)


def test_every_refusal_is_an_engine_error():
    errors = (BadFrame, BadState, DuplicateFrame, EncoderMismatch, NonFiniteOutput, NothingRequested, RequestRefused)
    assert all(issubclass(error, EngineError) for error in (*errors, StaleFrame, UnknownSnapshot))
