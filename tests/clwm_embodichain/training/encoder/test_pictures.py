"""Shards on disk, roll-outs, and pictures with what is true in them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_embodichain.training.encoder.data import EncoderDataError, FramePool, read_shard, remove_shard, write_shard
from clwm_embodichain.training.encoder.render import Photographer
from clwm_embodichain.training.encoder.roles import BASES, OWNERS, ROLES, SEGMENTS, TOOLS
from clwm_embodichain.training.encoder.states import STARTS, RollOuts
from clwm_sim.stage import ARM_SEGMENTS
from clwm_sim.world import ROBOT


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load(ROBOT)


@pytest.fixture(scope="module")
def roll_outs(robot):
    return RollOuts(robot)


@pytest.fixture(scope="module")
def photographer(robot):
    photographer = Photographer(robot)
    yield photographer
    photographer.close()


def states(roll_outs, scene, seed, count):
    return itertools.islice(roll_outs.states(scene, np.random.default_rng(seed)), count)


def test_a_shard_comes_back_as_it_was_written(tmp_path, toy_frames):
    frames = toy_frames(3, 0)
    write_shard(tmp_path / "toy-0.npz", frames)
    back = read_shard(tmp_path / "toy-0.npz")
    for name, values in vars(frames).items():
        np.testing.assert_array_equal(getattr(back, name), values)


def test_a_pool_follows_what_comes_and_goes_and_can_still_read_what_it_has(tmp_path, toy_frames):
    for number in (0, 1):
        write_shard(tmp_path / f"toy-{number}.npz", toy_frames(3, number))
    pool = FramePool(tmp_path)
    remove_shard(tmp_path / "toy-0.npz")
    write_shard(tmp_path / "toy-2.npz", toy_frames(5, 2))
    rng = np.random.default_rng(0)
    assert len(pool) == 6 and len(pool.draw(rng, 40)) == 40
    pool.refresh()
    assert len(pool) == 8
    drawn = pool.draw(rng, 400)
    known = np.concatenate([toy_frames(3, 1).poses, toy_frames(5, 2).poses])
    assert all((known == pose).all(axis=(1, 2)).any() for pose in drawn.poses)
    assert len(np.unique(drawn.poses[:, :, 0].sum(axis=1))) == 8


@pytest.mark.parametrize("damage", ["nothing", "garbage", "not finite"])
def test_missing_or_damaged_pictures_name_the_file_and_the_command_that_makes_them(tmp_path, damage, toy_frames):
    frames = toy_frames(2, 0)
    if damage == "not finite":
        frames.poses[1, 0, 0] = np.nan
    write_shard(tmp_path / "toy-0.npz", frames)
    if damage == "garbage":
        (tmp_path / "toy-0.npz").write_bytes(b"no archive")
    if damage == "nothing":
        (tmp_path / "toy-0.npz").unlink()
        with pytest.raises(EncoderDataError, match=r"has no pictures; run python -m .*encoder\.render"):
            FramePool(tmp_path)
    with pytest.raises(EncoderDataError, match=r"toy-0\.npz.*run python -m .*encoder\.render"):
        read_shard(tmp_path / "toy-0.npz")


def test_pictures_of_other_roles_are_refused_by_name(tmp_path, toy_frames):
    frames = toy_frames(2, 0)
    old = replace(frames, poses=frames.poses[:, :-2], present=frames.present[:, :-2])
    write_shard(tmp_path / "toy-0.npz", old)
    with pytest.raises(
        EncoderDataError, match=rf"toy-0\.npz has {len(ROLES) - 2} roles instead of {len(ROLES)}; remove"
    ):
        read_shard(tmp_path / "toy-0.npz")


def test_a_damaged_shard_is_reported_and_not_passed_over(tmp_path, toy_frames):
    write_shard(tmp_path / "toy-0.npz", toy_frames(2, 0))
    pool = FramePool(tmp_path)
    (tmp_path / "toy-1.npz").write_bytes(b"no archive")
    with pytest.raises(EncoderDataError, match=r"toy-1\.npz"):
        pool.refresh()


def test_roll_outs_of_one_seed_are_the_same_and_move_things(roll_outs):
    def course():
        return [
            np.concatenate([stage.measured().positions, *(s.position for s in stage.situation().objects.values())])
            for stage in states(roll_outs, "tray", 4, STARTS + 4)
        ]

    first, again = course(), course()
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[-1][:14] - first[STARTS][:14]).max() > 0.05


@pytest.mark.parametrize("scene", ["blocks", "switches"])
def test_points_and_segments_lie_where_the_pictures_show_the_objects(roll_outs, photographer, scene):
    (stage,) = states(roll_outs, scene, 3, 1)
    frames = photographer.shoot(stage, [0.0, 1.0], np.random.default_rng(0))
    assert frames.images.shape == (1, 2, 3, 128, 128, 3)
    assert np.abs(frames.images[0, 0].astype(int) - frames.images[0, 1]).mean() > 5.0
    named = [n for n, role in enumerate(ROLES) if frames.present[0, n] and role not in (*TOOLS, *BASES)]
    assert len(named) >= 3
    for look in range(2):
        shown = frames.segments[0, look, 0]
        for base, arm in zip(BASES, ARM_SEGMENTS, strict=True):
            u, v = frames.pixels[0, look, 0, ROLES.index(base) == OWNERS][0]
            u, v = np.clip([u / 4.0, v / 4.0], 0, 31).round().astype(int)
            assert SEGMENTS.index(arm) in shown[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2], base
        for index in named:
            number = SEGMENTS.index(ROLES[index])
            v, u = np.argwhere(shown == number).mean(axis=0)
            pixel = frames.pixels[0, look, 0, OWNERS == index][0]
            if ROLES[index] != "panel" and "lever" not in ROLES[index]:  # their points are not their middle
                np.testing.assert_allclose((pixel + 0.5) / 4.0, [u + 0.5, v + 0.5], atol=1.5)


def test_taking_pictures_changes_nothing_of_the_roll_out(roll_outs, photographer):
    quiet = [stage.measured().positions for stage in states(roll_outs, "handover", 5, 4)]
    rng = np.random.default_rng(0)
    watched = []
    for stage in states(roll_outs, "handover", 5, 4):
        watched.append(stage.measured().positions)
        photographer.shoot(stage, [1.0], rng)
    np.testing.assert_array_equal(watched, quiet)


def test_cameras_that_are_mounted_as_meant_see_things_where_the_plain_scene_shows_them(robot, roll_outs):
    (state,) = states(roll_outs, "pot", 5, 1)

    def seen(mounting):
        photographer = Photographer(robot, mounting=mounting)
        frames = photographer.shoot(state, [0.0, 1.0], np.random.default_rng(1))
        photographer.close()
        return frames

    fixed, mounted = seen(0.0), seen(1.0)
    np.testing.assert_array_equal(fixed.pixels[:, 0], fixed.pixels[:, 1])
    assert not np.array_equal(fixed.images[:, 0], fixed.images[:, 1])
    assert np.nanmax(np.abs(mounted.pixels[:, 0] - mounted.pixels[:, 1])) > 3.0
