"""W_long saved to a file comes back bit for bit, or is refused; nothing in between."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_policy.errors import BadSnapshot, NothingRequested


@pytest.fixture
def saved(make_episode, tmp_path):
    """An episode of three observations and the file of its memory."""
    episode, path = make_episode("fixed:0.5"), tmp_path / "memory.safetensors"
    episode.run(3)
    episode.engine.save_memory(path)
    return episode, path


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(1, 4), other=st.integers(0, 3))
def test_after_a_restore_digest_and_next_chunk_are_the_same_bit_for_bit(make_episode, tmp_path, before, other):
    first, second = make_episode("fixed:0.5"), make_episode("fixed:0.5", seed=99)
    first.run(before)
    digest = first.engine.save_memory(tmp_path / "m")
    second.run(other)
    second.engine.restore_memory(tmp_path / "m")
    assert second.engine.memory.digest() == first.engine.memory.digest() == digest
    assert second.engine.memory.observations == before
    chunk_id = max(first.chunk_id, second.chunk_id) + 1
    chunks = []
    for episode in (first, second):
        episode.chunk_id, episode.seed, episode.last = chunk_id, 7, None
        episode.engine.request(episode.next_request())
        chunks.append(episode.engine.observe(episode.frame(), episode.state()))
    np.testing.assert_array_equal(chunks[0][0].rows, chunks[1][0].rows)
    assert chunks[0][1].memory_digest == chunks[1][1].memory_digest


def test_a_restore_drops_the_pending_chunk_and_the_surrogate(saved):
    episode, path = saved
    episode.engine.request(episode.next_request())
    episode.engine.advance()
    episode.engine.restore_memory(path)
    with pytest.raises(NothingRequested):
        episode.engine.observe(episode.frame(), episode.state())
    assert not episode.engine.advance()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_truncated_or_bit_flipped_file_is_refused_and_changes_nothing(saved, place, bit, cut):
    episode, path = saved
    content = bytearray(path.read_bytes())
    index = int(place * len(content))
    if cut:
        content = content[:index]
    else:
        content[index] ^= 1 << bit
    damaged = path.with_name("damaged")
    damaged.write_bytes(bytes(content))
    before = episode.engine.memory.digest(), episode.engine.memory.observations
    with pytest.raises(BadSnapshot, match="damaged|is not a memory|is a memory of"):
        episode.engine.restore_memory(damaged)
    assert (episode.engine.memory._held.state.digest(), episode.engine.memory.observations) == before


@pytest.mark.parametrize(
    ("name", "what"), [("policy_sha256", "policy"), ("encoder_sha256", "encoder"), ("layout_version", "action layout")]
)
def test_a_memory_of_another_model_is_refused_naming_both(saved, name, what):
    episode, path = saved
    mine = episode.engine.facts[name]
    episode.engine.facts = {**episode.engine.facts, name: "0123456789abcdef"}
    before = episode.engine.memory.digest()
    with pytest.raises(BadSnapshot, match=f"memory of {what} {mine[:12]}, in use is 0123456789ab"):
        episode.engine.restore_memory(path)
    assert episode.engine.memory.digest() == before


def test_a_missing_memory_is_refused_by_name(saved):
    episode, path = saved
    with pytest.raises(BadSnapshot, match="nothing.* cannot be read"):
        episode.engine.restore_memory(path.with_name("nothing"))
