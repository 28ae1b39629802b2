import pytest

from clwm_sai_executor.outputs.gripper import GripperCommander


@pytest.fixture
def commander(robot):
    return GripperCommander(robot.left.gripper, threshold=0.004, snap=0.006)


def test_first_opening_is_sent_and_noise_around_it_is_not(commander):
    assert commander.update(0.04) == 0.04
    assert [commander.update(0.04 + noise) for noise in (0.003, -0.003, 0.0039)] == [None] * 3


def test_openings_near_an_end_become_that_end(commander):
    assert commander.update(0.077) == 0.08
    assert commander.update(0.005) == 0.0
    assert commander.update(-0.01) is None


def test_slow_drift_is_followed_in_steps_of_the_threshold(commander):
    sent = [commander.update(0.02 + 0.0015 * step) for step in range(10)]
    assert [round(width, 4) for width in sent if width is not None] == [0.02, 0.0245, 0.029, 0.0335]


def test_assumed_opening_is_not_sent(commander):
    commander.assume(0.03)
    assert commander.update(0.031) is None
    assert commander.update(0.0) == 0.0
