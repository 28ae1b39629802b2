"""A task that goes on elsewhere: what the virtual stack sees is the other simulator's, from the same start."""

import numpy as np
import pytest

from clwm_common.messages import Mode
from clwm_evaluation.drake.stage import STEP
from clwm_evaluation.drake.task_world import DrakeTaskWorld
from clwm_evaluation.virtual.conditions import CONDITIONS
from clwm_evaluation.virtual.stack import Latency, VirtualStack
from clwm_sai_executor.config import SchedulerConfig
from clwm_sim.world import World


class PerfectDrives:
    """Stands in for Drake: joints are where they are told to be, and objects where `lifted` says."""

    def __init__(self):
        self.lifted = 0.0
        self.targets = []

    def load(self, stage, time_step):
        positions, widths = stage.setpoint()
        found = World.situation(stage)
        poses = {name: [*state.position, 1.0, 0.0, 0.0, 0.0] for name, state in found.objects.items()}
        self._objects = {name: poses[name] for name in poses if stage.layout.things[name].moves == "free"}
        self._tools = dict(zip(("left_fr3_hand_tcp", "right_fr3_hand_tcp"), found.tcp.tolist(), strict=True))
        halves = np.repeat(widths / 2.0, 2)
        self._joints = np.concatenate([positions[:7], halves[:2], positions[7:], halves[2:]])
        return {"arms": {}, "state": self._state()}

    def advance(self, targets):
        self.targets += list(targets)
        self._joints = targets[-1]
        return self._state()

    def render(self, camera, fovy, size):
        return np.full((size, size, 3), len(camera), np.uint8)

    def _state(self):
        raised = {name: [*pose[:2], pose[2] + self.lifted, *pose[3:]] for name, pose in self._objects.items()}
        objects = {name: {"pose": pose, "speed": 0.0, "angle": 0.0} for name, pose in raised.items()}
        joints = self._joints.tolist()
        return {"objects": objects, "joints": joints, "velocities": [0.0] * len(joints), "tools": self._tools}


@pytest.fixture
def drives():
    return PerfectDrives()


@pytest.fixture
def world(drives):
    return DrakeTaskWorld("lift_tray", CONDITIONS["none"], drives)


def test_an_episode_starts_as_in_mujoco_and_goes_on_elsewhere(world, drives):
    world.reset(7)
    mujoco = World("lift_tray", seed=7)
    np.testing.assert_allclose(world.setpoint()[0], mujoco.setpoint()[0])
    assert world.instruction(7) == mujoco.instruction(7)
    drives.lifted = 0.2
    world.advance(0.02)
    assert world.time == pytest.approx(0.02)
    lifted = world.situation().objects["tray"].position - mujoco.situation().objects["tray"].position
    np.testing.assert_allclose(lifted, [0.0, 0.0, 0.2], atol=1e-9)


def test_a_goal_that_is_lost_elsewhere_is_lost_and_a_reset_begins_anew(world, drives):
    world.advance(0.5)
    assert not world.failed()
    drives.lifted = -0.3
    world.advance(1.0)
    assert world.failed() and world.verdicts()["lift_tray"] == "lost"
    drives.lifted = 0.0
    world.reset(8)
    assert world.time == 0.0 and not world.failed()


def test_what_is_set_for_each_step_of_mujoco_is_asked_for_and_the_last_one_told(world, drives):
    asked = []
    home, widths = world.setpoint()
    world.advance(2 * STEP, lambda at: (asked.append(at), (home + at, widths))[1])
    np.testing.assert_allclose(asked, [0.0025, 0.005, 0.0075, 0.01])
    np.testing.assert_allclose([target[:7] - home[:7] for target in drives.targets], np.repeat([[0.005], [0.01]], 7, 1))


def test_measured_arms_are_those_of_the_other_simulator(world, drives):
    home, widths = world.setpoint()
    world.advance(0.5, lambda at: (home + 0.1, [0.03, 0.05]))
    measured = world.measured()
    np.testing.assert_allclose(measured.positions, home + 0.1)
    np.testing.assert_allclose(measured.widths, [0.03, 0.05], atol=1e-9)


def test_arms_that_hold_achieve_nothing_under_the_virtual_clock(world):
    stack = VirtualStack(world, None, Latency(0.08), SchedulerConfig(initial_mode=Mode.HOLD))
    result = stack.run(3)
    assert (result.outcome, result.seconds) == ("timeout", world.goal.timeout)
    assert world.render("head").max() == len("head")
