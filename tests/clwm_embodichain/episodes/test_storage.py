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
        keypoints=rng.normal(size=(3, 14, 3)).astype(np.float32),
        keypoint_visible=np.ones((3, 14), dtype=bool),
        camera_pose=rng.normal(size=(3, 3, 4, 4)).astype(np.float32),
        success=True,
        instruction="lift the tray",
        task="lift_tray",
        seed=7,
    )


def test_what_is_saved_is_what_is_loaded(episode, tmp_path):
    path = episode_path(tmp_path, "lift_tray", 7)
    episode.save(path)
    loaded = Episode.load(path)
    for field in fields(Episode):
        assert np.array_equal(getattr(loaded, field.name), getattr(episode, field.name)), field.name
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
    values = {field.name: getattr(episode, field.name) for field in fields(Episode) if field.name != "states"}
    np.savez_compressed(path, format_version=1, **values)
    with pytest.raises(EpisodeError, match="lacks states"):
        Episode.load(path)


def test_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "7.npz"
    np.savez(path, format_version=99)
    with pytest.raises(EpisodeError, match="format 99; expected 1"):
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
    ],
)
def test_arrays_that_disagree_are_not_saved(episode, tmp_path, name, value, message):
    path = tmp_path / "7.npz"
    with pytest.raises(EpisodeError, match=message):
        replace(episode, **{name: value}).save(path)
    assert not path.exists()


def test_files_are_listed_by_seed_and_none_is_an_error(episode, tmp_path):
    for seed in (10, 9, 100):
        episode.save(episode_path(tmp_path, "lift_tray", seed))
    assert [path.stem for path in episode_files(tmp_path, "lift_tray")] == ["9", "10", "100"]
    with pytest.raises(EpisodeError, match="no episodes of 'place_block'"):
        episode_files(tmp_path, "place_block")
