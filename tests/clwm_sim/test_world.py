import numpy as np
import pytest

from clwm_sim.cameras import CAMERAS, project
from clwm_sim.keypoints import KEYPOINTS
from clwm_sim.shipped_tasks import UnknownTask
from clwm_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("lift_tray")
    yield world
    world.close()


def state_after(world, seed):
    world.reset(seed)
    goal = world.setpoint()[0] + 0.1
    world.advance(0.2, lambda time: (goal - 0.1 + 0.5 * time, [0.02, 0.08]))
    return world.measured(), world.keypoint_array(), world.render("head")


def test_same_seed_gives_same_motion_and_same_picture(world):
    first = state_after(world, 3)
    state_after(world, 4)
    again = state_after(world, 3)
    assert np.array_equal(first[0].positions, again[0].positions)
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(first[2], again[2])


def test_different_seeds_place_the_tray_differently(world):
    world.reset(1)
    first = world.keypoints()["left_handle"]
    world.reset(2)
    assert np.linalg.norm(first - world.keypoints()["left_handle"]) > 1e-3


def test_unknown_task_is_refused_with_the_list_of_tasks(world):
    with pytest.raises(UnknownTask, match="'juggle' does not exist; expected one of lift_tray, place_block"):
        world.reset(0, "juggle")
    assert world.task.name == "lift_tray"


def test_arms_follow_a_moving_set_point_without_lag(world):
    world.reset(0)
    start, widths = world.setpoint()
    world.advance(0.5, lambda time: (start + 0.5 * time, widths))
    assert np.abs(world.measured().positions - (start + 0.25)).max() < 0.01


def test_gripper_moves_at_its_own_speed(world):
    world.reset(0)
    positions, _ = world.setpoint()
    world.advance(0.3, lambda time: (positions, [0.0, 0.08]))
    left, right = world.measured().widths
    assert 0.04 < left < 0.065
    assert right == pytest.approx(0.08, abs=0.002)


def test_going_back_in_time_is_refused(world):
    world.reset(0)
    world.advance(0.1)
    with pytest.raises(ValueError, match="go back"):
        world.advance(0.05)


def test_set_point_that_is_not_finite_is_refused(world):
    world.reset(0)
    with pytest.raises(ValueError, match="not finite"):
        world.advance(0.1, lambda time: (np.full(14, np.nan), [0.08, 0.08]))


def test_absent_objects_stay_away_and_are_marked_invisible(world):
    world.reset(0, "lift_tray")
    world.advance(0.5)
    visible = dict(zip(KEYPOINTS, world.keypoint_visible(), strict=True))
    assert world.keypoints()["block"][2] == pytest.approx(-2.0, abs=1e-6)
    assert visible["left_handle"] and visible["right_tcp"] and not visible["block_far_left"] and not visible["pad"]
    world.reset(0, "place_block")
    visible = dict(zip(KEYPOINTS, world.keypoint_visible(), strict=True))
    assert visible["block"] and visible["pad"] and not visible["tray_near_left"]
    world.reset(0, "lift_tray")


def red(picture):
    picture = picture.astype(int)
    return (picture[..., 0] > 100) & (picture[..., 1] < 60) & (picture[..., 2] < 60)


@pytest.mark.parametrize("camera", ["head", "left_wrist"])
def test_intrinsics_and_pose_project_the_block_onto_its_picture(world, camera):
    identity = [0.0, 0.0, 0.0, 1.0]
    world.reset(0, "place_block")
    positions, widths = world.setpoint()
    world.arrange(positions, widths, {"block": [0.45, 0.18, 0.0225, *identity]})
    rows, columns = np.nonzero(red(world.render(camera)))
    assert len(rows) > 20
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.0225 + [0.45, 0.18, 0.0225]
    pixels = project(corners, world.camera_info(camera), world.camera_pose(camera))
    drawn = [columns.min() - 0.5, columns.max() + 0.5, rows.min() - 0.5, rows.max() + 0.5]
    expected = [pixels[:, 0].min(), pixels[:, 0].max(), pixels[:, 1].min(), pixels[:, 1].max()]
    assert np.abs(np.subtract(drawn, expected)).max() < 1.0
    world.reset(0, "lift_tray")


def test_points_behind_the_camera_have_no_pixel(world):
    pose = world.camera_pose("head")
    behind = pose[:3, 3] - 0.5 * pose[:3, 2]
    assert np.isnan(project([behind], world.camera_info("head"), pose)).all()


def test_every_camera_draws_a_square_picture_and_no_other_exists(world):
    for camera in CAMERAS:
        picture = world.render(camera)
        assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8 and picture.std() > 5
    with pytest.raises(ValueError, match="camera 'chest' does not exist"):
        world.render("chest")


def test_random_looks_change_the_picture_but_not_the_scene_and_end_with_the_reset(world):
    world.reset(0)
    nominal, points = world.render("head"), world.keypoint_array()
    world.randomise_appearance(np.random.default_rng(0))
    assert np.abs(world.render("head").astype(int) - nominal).mean() > 3
    assert np.array_equal(points, world.keypoint_array())
    world.reset(0)
    assert np.array_equal(nominal, world.render("head"))


def test_instruction_is_one_of_the_task_s_and_fixed_by_the_seed(world):
    sentences = {world.instruction(seed) for seed in range(40)}
    assert sentences == set(world.task.instructions)
    assert world.instruction(7) == world.instruction(7)


def test_episode_fails_when_its_time_is_over(world):
    world.reset(0)
    world.advance(world.task.timeout - 0.1)
    assert not world.failed()
    world.advance(world.task.timeout)
    assert world.failed() and not world.succeeded()
