import subprocess
import sys

import pytest

from clwm_common.messages import Mode
from clwm_sai_executor.config import ConfigError, SchedulerConfig


def test_executor_core_imports_neither_torch_nor_ros_nor_a_simulator():
    code = (
        "import sys, clwm_sai_executor.scheduler, clwm_sai_executor.joint_map, clwm_sai_executor.task_run\n"
        "from clwm_common.robot import RobotDescription\n"
        "clwm_sai_executor.scheduler.Scheduler(RobotDescription.load('dual_fr3_mujoco'))\n"
        "print([name for name in ('torch', 'rclpy', 'mujoco', 'pinocchio', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"execution_horizon": 0}, "execution_horizon is 0; expected 1 to 16"),
        ({"lead": -0.1}, "lead is -0.1"),
        ({"chunk_timeout": float("nan")}, "chunk_timeout is nan"),
        ({"initial_mode": Mode.ESTOP}, "expected POLICY or HOLD"),
    ],
)
def test_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SchedulerConfig(**settings)
