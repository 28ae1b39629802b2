import subprocess
import sys

import pytest

from clwm_common.messages import Mode
from clwm_sai_executor.config import ConfigError, SchedulerConfig
from clwm_sai_executor.path.pose_solver import pose_solver


def test_executor_core_imports_neither_torch_nor_ros_nor_a_simulator():
    code = (
        "import sys, clwm_sai_executor.scheduler\n"
        "import clwm_sai_executor.inputs.joint_map, clwm_sai_executor.tasks.task_run\n"
        "from clwm_common.robot.description import RobotDescription\n"
        "clwm_sai_executor.scheduler.Scheduler(RobotDescription.load('dual_fr3_mujoco'))\n"
        "unwanted = ('torch', 'rclpy', 'mujoco', 'mink', 'pinocchio', 'transformers')\n"
        "print([name for name in unwanted if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"execution_horizon": 0}, "execution_horizon is 0; expected 1 to 16"),
        ({"lead": -0.1}, "lead is -0.1"),
        ({"chunk_timeout": float("nan")}, "chunk_timeout is nan"),
        ({"follow": "pose"}, "follow is 'pose'; expected one of joints, poses"),
        ({"initial_mode": Mode.ESTOP}, "expected POLICY or HOLD"),
    ],
)
def test_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SchedulerConfig(**settings)


@pytest.mark.parametrize("package", ["mink", "mujoco", "daqp"])
@pytest.mark.parametrize(
    ("chosen", "message"),
    [({"follow": "poses"}, "follow is 'poses'"), ({"teleop_poses": True}, "teleop_poses is true")],
)
def test_settings_that_want_poses_say_which_package_is_missing(robot, limits, monkeypatch, package, chosen, message):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "clwm_sai_executor.path.inverse_kinematics", raising=False)
    with pytest.raises(ConfigError, match=f"{message}, which needs mink, mujoco and daqp .*{package}"):
        pose_solver(robot, SchedulerConfig(**chosen), limits)
    assert pose_solver(robot, SchedulerConfig(), limits) is None
