from dataclasses import fields, replace

import numpy as np
import pytest

from clwm_embodichain.episodes.storage import Episode, EpisodeError, episode_files, episode_path


@pytest.fixture
def episode():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 10, 30)).astype(np.float32)
    return Episode(
        images=rng.integers(0, 255, (3, 3, 8, 8, 3), dtype=np.uint8),
        image_rows=np.arange(0, 10, 4),
        plans=rng.normal(size=(3, 16, 30)).astype(np.float32),
        commands=rows[0],
        executed=rows[1],
        states=rows[2],
        asked=np.array([0, 0, 1]),
        interventions=np.arange(10) > 7,
        success=True,
        instructions=("lift the tray", "stop and wait"),
        goals=("lift_tray", "keep_still"),
        cameras=("head", "left_wrist", "right_wrist"),
        scene="tray",
        expansion="visual,recovery",
        seed=7,
        corrections=np.array([0] * 8 + [1, 2], np.int8),
        held=np.arange(10) > 8,
    )


def test_an_episode_of_which_nothing_was_said_has_no_corrections(episode, tmp_path):
    replace(episode, corrections=None).save(tmp_path / "7.npz")
    assert Episode.load(tmp_path / "7.npz").corrections is None
    with pytest.raises(EpisodeError, match="corrections is int8 .9,.; expected int8 .10,."):
        replace(episode, corrections=np.zeros(9, np.int8)).save(tmp_path / "8.npz")


def test_what_is_saved_is_what_is_loaded(episode, tmp_path):
    path = episode_path(tmp_path, "tray", "lift_tray", 7)
    episode.save(path)
    loaded = Episode.load(path)
    for field in fields(Episode):
        ours, theirs = getattr(loaded, field.name), getattr(episode, field.name)
        assert type(ours) is type(theirs) and np.array_equal(ours, theirs), field.name
    assert [file.name for file in path.parent.iterdir()] == ["7.npz"]


def test_truncated_file_is_reported_with_the_remedy(episode, tmp_path):
    path = tmp_path / "7.npz"
    episode.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EpisodeError, match=r"7\.npz is damaged .* record its seed again"):
        Episode.load(path)


def test_file_with_flipped_bytes_is_reported(episode, tmp_path):
    path = tmp_path / "7.npz"
    episode.save(path)
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(EpisodeError, match="damaged"):
        Episode.load(path)


def test_file_without_an_array_names_it(episode, tmp_path):
    path = tmp_path / "7.npz"
    values = {field.name: getattr(episode, field.name) for field in fields(Episode)}
    values = {name: value for name, value in values.items() if name != "states" and value is not None}
    np.savez_compressed(path, format_version=2, **values)
    with pytest.raises(EpisodeError, match="lacks states"):
        Episode.load(path)


def test_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "7.npz"
    np.savez(path, format_version=99)
    with pytest.raises(EpisodeError, match="format 99; expected 2"):
        Episode.load(path)


def test_missing_file_says_how_to_record_it(tmp_path):
    with pytest.raises(EpisodeError, match="does not exist; record it"):
        Episode.load(tmp_path / "7.npz")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("commands", np.zeros((10, 29), np.float32), "commands is float32 .*expected float32"),
        ("states", np.zeros((9, 30), np.float32), "states is"),
        ("images", np.zeros((3, 3, 8, 8, 3), np.float32), "images is float32"),
        ("executed", np.full((10, 30), np.nan, np.float32), "not finite"),
        ("image_rows", np.array([0, 5, 8]), "image_rows must be 0, 4"),
        ("asked", np.array([0, 1, 0]), r"asked is \[0, 1, 0\], of 2 goals"),
        ("asked", np.array([0, 1, 2]), "expected each of them in turn"),
        ("goals", ("lift_tray",), "of 1 goals and 2 instructions"),
        ("cameras", ("head",), r"images is uint8 \(3, 3, 8, 8, 3\); expected uint8 \(3, 1, 8, 8, 3\)"),
    ],
)
def test_arrays_that_disagree_are_not_saved(episode, tmp_path, name, value, message):
    path = tmp_path / "7.npz"
    with pytest.raises(EpisodeError, match=message):
        replace(episode, **{name: value}).save(path)
    assert not path.exists()


def test_files_are_listed_by_scene_kind_and_seed_and_none_is_an_error(episode, tmp_path):
    for scene, kind, seed in (("tray", "lift_tray", 10), ("tray", "lift_tray", 9), ("pot", "lift_pot", 100)):
        episode.save(episode_path(tmp_path, scene, kind, seed))
    (tmp_path / "tray" / "lift_tray" / "notes.npz").touch()
    assert [path.stem for path in episode_files(tmp_path, "tray", "lift_tray")] == ["9", "10"]
    assert [path.stem for path in episode_files(tmp_path)] == ["100", "9", "10"]
    with pytest.raises(EpisodeError, match=r"no episodes of 'tray/\*' under .*clwm data record"):
        episode_files(tmp_path / "pot", "tray")


def test_an_episode_is_of_the_kind_that_was_asked_for_first(episode):
    assert replace(episode, goals=("place:red:blue", "keep_still")).kind == "place"
