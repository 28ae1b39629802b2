"""Recorded episodes replay bit for bit, and whatever is different about one is found and named."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_common.messages import MemoryPolicy
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Adaptive, Plan, parse_re_entry
from clwm_policy.errors import EngineError
from clwm_policy.recording.episode_file import EpisodeFile, EpisodeFileError, as_recorded, check_facts, read_episode
from clwm_policy.recording.episode_log import (
    Entry,
    Observed,
    PlayedStopwatch,
    RecordedEngine,
    RecordedStopwatch,
    Requested,
    Worked,
)
from clwm_policy.recording.replay import replay


class Clock:
    """A stopwatch that is never the same twice, as a real one."""

    def __init__(self):
        self.rng, self.now = np.random.default_rng(0), 0.0

    def __call__(self):
        self.now += self.rng.exponential(1e-3)
        return self.now


def policy_named(text):
    """That re-entry policy; `adaptive` trusts anything."""
    anything = Calibration(Plan(2, 4), 0.95, (1e9,), ((0.9,) * 3 + (0.004,),), "tiny", "e" * 64)
    return Adaptive(calibration=anything) if text == "adaptive" else parse_re_entry(text)


@dataclass
class Log:
    """Keeps what is written."""

    entries: list

    def write(self, entry):
        self.entries.append(entry)

    def close(self):
        pass


@pytest.fixture
def recorded(make_episode, tiny_policy, made_up_embedding):
    """recorded(re_entry) -> an episode whose engine is recorded, and the list that its entries go to."""

    def make(re_entry="fixed:0.5"):
        entries, stopwatch = [], RecordedStopwatch(Clock())
        engine = Engine(tiny_policy, made_up_embedding, policy_named(re_entry), Plan(2, 4), stopwatch)
        episode = make_episode()
        episode.facts = engine.facts
        episode.engine = RecordedEngine(engine, stopwatch, Log(entries))
        return episode, entries

    return make


@pytest.fixture
def replayed(tiny_policy, made_up_embedding):
    """replayed(entries, re_entry) -> the outcome on a fresh engine."""

    def make(entries, re_entry="fixed:0.5", as_recorded=lambda message: message):
        stopwatch = PlayedStopwatch()
        engine = Engine(tiny_policy, made_up_embedding, policy_named(re_entry), Plan(2, 4), stopwatch)
        return replay(entries, engine, stopwatch, as_recorded)

    return make


def observe(episode, idle_steps=100, frame=None, time_left=math.inf, **changes):
    """One chunk; False when the request or its observation was refused."""
    try:
        episode.engine.request(episode.next_request(**changes))
        for _ in range(idle_steps):
            if not episode.engine.advance():
                break
        episode.last = episode.engine.finish(frame or episode.frame(), episode.state(), time_left)
    except EngineError:
        return False
    episode.engine.report()
    return True


@pytest.mark.parametrize("re_entry", ["sequential", "fixed:0.25", "adaptive"])
@pytest.mark.parametrize("idle_steps", [0, 1, 5, 7, 100])
def test_however_far_speculation_got_the_episode_replays_bit_for_bit(recorded, replayed, re_entry, idle_steps):
    episode, entries = recorded(re_entry)
    for _ in range(4):
        assert observe(episode, idle_steps)
    outcome = replayed(entries, re_entry)
    assert (outcome.chunks, outcome.difference) == (4, None)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=st.lists(st.tuples(st.integers(0, 9), st.floats(-0.01, 0.02)), min_size=8, max_size=8))
def test_chunks_cut_for_a_deadline_are_cut_alike_although_it_hung_on_measured_times(recorded, replayed, course):
    episode, entries = recorded("adaptive")
    for steps, time_left in [(9, math.inf)] * 4 + course:
        assert observe(episode, steps, time_left=time_left)
    outcome = replayed(entries, "adaptive")
    assert (outcome.chunks, outcome.difference) == (12, None)


def test_without_its_readings_a_cut_chunk_comes_out_differently(recorded, replayed):
    episode, entries = recorded("adaptive")
    for time_left in (*[math.inf] * 4, 0.004, 0.004):
        observe(episode, 0, time_left=time_left)
    assert any(entry.report is not None and entry.report.steps_cut for entry in entries)
    assert replayed(entries, "adaptive").difference is None
    assert replayed([replace(entry, readings=()) for entry in entries], "adaptive").difference is not None


actions = st.sampled_from(["chunk", "cancel", "replace", "stale", "task", "reset", "restore", "unknown", "episode"])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=st.lists(st.tuples(actions, st.integers(0, 9)), min_size=1, max_size=7))
def test_cancels_refusals_and_task_changes_replay_too(recorded, replayed, course):
    episode, entries = recorded("fixed:0.75")
    observe(episode)
    made = 1
    for action, steps in course:
        match action:
            case "chunk":
                made += observe(episode, steps)
            case "cancel" | "replace":
                request = episode.next_request()
                episode.engine.request(request)
                for _ in range(steps):
                    episode.engine.advance()
                if action == "cancel":
                    episode.engine.cancel(request.chunk_id)
            case "stale":
                made += observe(episode, steps, episode.frame(stamp=0.0))
            case "task":
                episode.epoch += 1
                made += observe(episode, steps, instruction=f"task {episode.epoch}")
            case "reset" | "restore":
                episode.epoch += 1
                made += observe(episode, steps, memory_policy=MemoryPolicy[action.upper()])
            case "unknown":
                changes = {"task_epoch": 99, "instruction": "pour the tea", "memory_policy": MemoryPolicy.RESTORE}
                with pytest.raises(EngineError):
                    episode.engine.request(episode.next_request(**changes))
            case "episode":
                episode.engine.start_episode()
                episode.chunk_id = 0
    episode.engine.close()
    outcome = replayed(entries, "fixed:0.75")
    assert (outcome.chunks, outcome.difference) == (made, None)


def changed_observation(entries, index, change):
    """The entries with the frame of observation `index` put through `change`."""
    places = [i for i, entry in enumerate(entries) if isinstance(entry.call, Observed)]
    entry = entries[places[index]]
    call = replace(entry.call, frame=replace(entry.call.frame, features=change(entry.call.frame.features)))
    return [*entries[: places[index]], replace(entry, call=call), *entries[places[index] + 1 :]]


def test_a_flipped_bit_in_a_feature_is_the_first_difference(recorded, replayed):
    episode, entries = recorded()
    for _ in range(4):
        observe(episode)

    def flip(features):
        bits = features.copy().view(np.uint16)
        bits[1, 0, 1, 3] ^= 1 << 9
        return bits.view(np.float16)

    outcome = replayed(changed_observation(entries, 2, flip))
    assert outcome.chunks == 2
    assert outcome.difference.chunk_id == 3
    assert "row 4, channel 0 (left_x)" in str(outcome.difference)
    assert outcome.difference.recorded != outcome.difference.replayed


def test_another_number_of_idle_steps_is_noticed(recorded, replayed):
    episode, entries = recorded()
    for _ in range(3):
        observe(episode, 6)
    fewer = [
        replace(entry, call=Worked(entry.call.steps - 2)) if isinstance(entry.call, Worked) else entry
        for entry in entries
    ]
    assert replayed(fewer).difference is not None


def test_a_chunk_that_was_refused_must_be_refused_again(recorded, replayed):
    episode, entries = recorded()
    observe(episode)
    assert not observe(episode, frame=episode.frame(stamp=0.0))
    episode.engine.close()
    good = [replace(entry, refusal="") for entry in entries]
    difference = replayed(good).difference
    assert (difference.what, difference.recorded) == ("refusal", "none")
    assert difference.replayed.startswith("StaleFrame: the frame of 0.0 is older")


def test_nothing_is_written_before_the_chunk_is_away(recorded):
    episode, entries = recorded()
    episode.engine.request(episode.next_request())
    episode.engine.finish(episode.frame(), episode.state())
    assert entries == []
    episode.engine.report()
    assert [type(entry.call) for entry in entries] == [Requested, Observed]


@pytest.fixture
def file(recorded, tmp_path):
    """A recorded file of four chunks, and its entries."""
    episode, entries = recorded()
    for index in range(4):
        observe(episode, 3 * index)
    path = tmp_path / "episode.mcap"
    write(path, episode.facts, entries)
    return path, entries, episode.facts


def write(path, facts, entries):
    file = EpisodeFile(path, facts)
    for entry in entries:
        file.write(entry)
    file.close()


def test_an_episode_comes_back_from_its_file_and_replays(file, replayed):
    path, entries, facts = file
    found, back = read_episode(path)
    assert found.items() >= facts.items()
    assert [type(entry.call) for entry in back] == [type(entry.call) for entry in entries]
    assert [entry.readings for entry in back] == [entry.readings for entry in entries]
    outcome = replayed(back, as_recorded=as_recorded)
    assert (outcome.chunks, outcome.difference) == (4, None)


@pytest.mark.parametrize("kept", [0, 7, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(file, kept):
    path, _, _ = file
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else kept])
    with pytest.raises(EpisodeFileError, match="truncated|not an MCAP"):
        read_episode(path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_flipped_on_the_disk_never_replays_as_something_else(file, place, bit):
    path, entries, _ = file
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    damaged = path.with_name("damaged.mcap")
    damaged.write_bytes(bytes(content))
    try:
        _, back = read_episode(damaged)
    except EpisodeFileError:
        return
    # Only the index behind the data may still be damaged; it is not used.
    assert [entry.readings for entry in back] == [entry.readings for entry in entries]
    for one, other in zip(back, entries, strict=True):
        if one.chunk is not None:
            np.testing.assert_array_equal(one.chunk.rows, other.chunk.rows)


def test_a_file_without_the_states_is_refused_by_topic(file, tmp_path):
    path, entries, facts = file
    write(path, facts, [entry for entry in entries if not isinstance(entry.call, Observed)])
    with pytest.raises(EpisodeFileError, match=r"no message on /clwm/feature_frame, /clwm/state"):
        read_episode(path)


def test_a_missing_file_and_one_that_is_something_else_are_refused(tmp_path):
    with pytest.raises(EpisodeFileError, match="cannot be read"):
        read_episode(tmp_path / "nothing.mcap")
    (tmp_path / "text.mcap").write_text("not an episode at all, but long enough to be read as one")
    with pytest.raises(EpisodeFileError, match="is not an MCAP file"):
        read_episode(tmp_path / "text.mcap")


@pytest.mark.parametrize("name", ["policy_sha256", "encoder_sha256", "layout_version", "calibration_sha256"])
def test_an_episode_of_another_engine_is_refused_naming_both(file, name):
    path, _, facts = file
    with pytest.raises(EpisodeFileError, match=f"{name} .*aaaaaaaaaaaa.* the engine here has"):
        check_facts(path, {**facts, name: "a" * 64}, facts)


def test_another_backend_is_said_and_allowed(file):
    path, _, facts = file
    (warning,) = check_facts(path, {**facts, "backend": "another"}, facts)
    assert "recorded with backend 'another'" in warning


def test_seconds_left_survive_the_file_even_when_infinite(file, replayed):
    path, entries, facts = file
    for time_left in (math.inf, 0.0734):
        write(path, facts, [with_time_left(entry, time_left) for entry in entries])
        _, back = read_episode(path)
        assert {entry.call.time_left for entry in back if isinstance(entry.call, Observed)} == {time_left}


def with_time_left(entry: Entry, seconds: float) -> Entry:
    return replace(entry, call=replace(entry.call, time_left=seconds)) if isinstance(entry.call, Observed) else entry
