"""`clwm preflight` before a robot that is ready (the simulated one, started alone), and before none."""

import re
import subprocess
import sys

from clwm_bringup import graph
from clwm_bringup.supervisor import Supervisor


def preflight(*arguments):
    command = [sys.executable, "-m", "clwm_bringup", "preflight", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    return done.returncode, done.stdout + done.stderr


def test_a_robot_that_is_there_is_ready_and_one_that_is_not_is_described_piece_by_piece():
    spec = next(spec for spec in graph.build_graph(graph.StackOptions()) if spec.name == "sim")
    lines = []
    with Supervisor([spec], graph.environment(), lines.append) as supervisor:
        while not any("activate: done" in line.text for line in lines):
            supervisor.poll(timeout=0.2)
        # A machine that pauses for longer than joint states may be silent makes any robot look unready.
        for _ in range(5):
            code, said = preflight("--seconds", "2")
            if code == 0:
                break
        assert code == 0, said
        assert "ok   left gripper" in said and "ok   right commands" in said and "is ready" in said, said
        code, said = preflight("--robot", "dual_fr3_franka", "--seconds", "1")
    assert code == 1
    for missing in (
        "nothing on /left/franka/joint_states",
        "nobody listens to /right/arm_controller/joint_trajectory",
    ):
        assert missing in said, said
    # Where control_msgs is not installed, that is what keeps the gripper from being served.
    assert re.search(r"FAIL right gripper +(nobody serves )?/right/franka_gripper/gripper_action", said), said
    assert "not ready for dual_fr3_franka" in said
    # Drivers on another machine or in a container are there, and are not found.
    assert "of this machine only (ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST)" in said and "--ipc host" in said, said
