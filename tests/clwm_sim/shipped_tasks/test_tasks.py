from dataclasses import replace

import numpy as np
import pytest

from clwm_sim.shipped_tasks import TASKS, TableSituation, UnknownTask, task_named


@pytest.fixture
def lifted():
    """A tray held level, 10 cm up."""
    handles = np.array([[0.48, 0.13, 0.156], [0.48, -0.13, 0.156]])
    return TableSituation(
        tray_position=np.array([0.48, 0.0, 0.10]),
        tray_rotation=np.eye(3),
        block_position=np.array([0.0, 0.6, -2.0]),
        block_rotation=np.eye(3),
        block_speed=0.0,
        pad_position=np.array([0.0, 1.2, -2.0]),
        handles=handles,
        tcp=handles + 0.01,
        widths=np.array([0.016, 0.016]),
    )


@pytest.fixture
def placed(lifted):
    """A block at rest on the pad, the hand above it open."""
    return replace(
        lifted,
        block_position=np.array([0.47, 0.01, 0.0225]),
        pad_position=np.array([0.47, 0.0, 0.0]),
        tcp=np.array([[0.47, 0.01, 0.05], [0.31, -0.3, 0.48]]),
        widths=np.array([0.078, 0.08]),
    )


def tilted(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def test_level_tray_in_both_hands_is_lifted(lifted):
    assert task_named("lift_tray").is_achieved(lifted)


@pytest.mark.parametrize(
    "change",
    [
        {"tray_position": np.array([0.48, 0.0, 0.07])},
        {"tray_rotation": tilted(np.radians(10))},
        {"tcp": np.array([[0.48, 0.13, 0.156], [0.48, -0.3, 0.156]])},
    ],
    ids=["too low", "not level", "one hand away"],
)
def test_tray_is_not_lifted(lifted, change):
    assert not task_named("lift_tray").is_achieved(replace(lifted, **change))


@pytest.mark.parametrize(
    "change",
    [{"tray_rotation": tilted(np.radians(40))}, {"tray_position": np.array([0.8, 0.0, 0.0])}],
    ids=["tipped over", "out of reach"],
)
def test_tray_is_lost(lifted, change):
    assert not task_named("lift_tray").is_lost(lifted)
    assert task_named("lift_tray").is_lost(replace(lifted, **change))


def test_block_at_rest_and_released_is_placed(placed):
    assert task_named("place_block").is_achieved(placed)


@pytest.mark.parametrize(
    "change",
    [
        {"block_position": np.array([0.47, 0.04, 0.0225])},
        {"block_position": np.array([0.47, 0.01, 0.05])},
        {"block_speed": 0.1},
        {"widths": np.array([0.045, 0.08])},
    ],
    ids=["beside the pad", "in the air", "moving", "still held"],
)
def test_block_is_not_placed(placed, change):
    assert not task_named("place_block").is_achieved(replace(placed, **change))


def test_block_off_the_table_is_lost(placed):
    assert not task_named("place_block").is_lost(placed)
    assert task_named("place_block").is_lost(replace(placed, block_position=np.array([0.47, 0.0, -0.1])))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_task_has_several_sentences_and_its_own_name(name):
    task = task_named(name)
    assert task.name == name
    assert 3 <= len(set(task.instructions)) == len(task.instructions)


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownTask, match="lift_tray, place_block"):
        task_named("fold_cloth")
