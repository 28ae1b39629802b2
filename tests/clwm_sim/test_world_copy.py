import numpy as np

from clwm_sim.world import World


def test_world_that_became_another_has_the_same_future_and_leaves_it_alone():
    original, copy = World("place_block", image_size=32, seed=5), World("lift_tray", image_size=32, seed=1)
    start = original.setpoint()

    def wave(time):
        return start[0] + 0.1 * np.sin(3.0 * time), np.array([0.02, 0.05])

    original.advance(0.4, wave)
    copy.become(original)
    copy.advance(0.8, wave)
    assert original.time == 0.4
    original.advance(0.8, wave)
    np.testing.assert_array_equal(copy.measured().positions, original.measured().positions)
    np.testing.assert_array_equal(copy.keypoint_array(), original.keypoint_array())
    assert copy.task is original.task
