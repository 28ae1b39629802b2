"""Memories by name: files in a folder, and what is refused."""

import pytest

from clwm_policy.errors import BadSnapshot
from clwm_policy.memory.named_memories import NamedMemories


@pytest.fixture
def episode(make_episode):
    episode = make_episode("fixed:0.5")
    episode.run(2)
    return episode


@pytest.fixture
def memories(episode, tmp_path):
    return NamedMemories(tmp_path / "memories", episode.engine)


def test_a_memory_comes_back_by_its_name_with_its_updates_and_hash(episode, memories):
    said = memories.save("monday")
    digest = episode.engine.memory.digest()
    assert said == f"memory 'monday' saved: 2 real observations taken in, hash {digest[:16]}"
    episode.run(1)
    memories.save("tuesday")
    assert memories.names() == ["tuesday", "monday"] and episode.engine.memory.digest() != digest
    assert memories.restore("monday").endswith(f"2 real observations taken in, hash {digest[:16]}")
    assert episode.engine.memory.digest() == digest


def test_a_memory_that_is_saved_again_replaces_the_older_one(episode, memories):
    memories.save("monday")
    episode.run(1)
    memories.save("monday")
    episode.run(1)
    assert memories.names() == ["monday"] and "3 real observations" in memories.restore("monday")


def test_nothing_is_restored_while_a_chunk_is_made_of_the_present_memory(episode, memories):
    memories.save("monday")
    episode.engine.request(episode.next_request())
    with pytest.raises(BadSnapshot, match="HOLD the arms first"):
        memories.restore("monday")
    assert episode.engine.pending is not None


@pytest.mark.parametrize("name", ["", "../monday", "a/b", "Monday", "-x", "x" * 41, "mon day", "x\n"])
def test_a_name_that_could_be_another_path_is_refused(memories, name, tmp_path):
    for act in (memories.save, memories.restore):
        with pytest.raises(BadSnapshot, match="cannot name a memory"):
            act(name)
    assert not list(tmp_path.rglob("*.memory"))


def test_what_cannot_be_found_or_written_is_named(episode, memories, tmp_path):
    with pytest.raises(BadSnapshot, match="no memory 'monday' was saved; there are: none"):
        memories.restore("monday")
    memories.save("tuesday")
    with pytest.raises(BadSnapshot, match="there are: tuesday"):
        memories.restore("monday")
    (tmp_path / "file").touch()
    with pytest.raises(BadSnapshot, match="cannot be written"):
        NamedMemories(tmp_path / "file", episode.engine).save("monday")
