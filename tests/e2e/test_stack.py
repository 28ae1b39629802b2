"""The four real processes together: they come up, move the arms, refuse a wrong encoder, and leave nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import JointState

from clwm_bringup import graph
from clwm_bringup.supervisor import Supervisor
from clwm_common.ros import qos
from clwm_operator.demo.course import Demo
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Recording

CAMERAS = ("head", "left_wrist", "right_wrist")
NODES = ("sim", "perception", "executor", "policy")


class Stack:
    """The running processes, everything they printed, and the demo's way of talking to them."""

    def __init__(self, specs):
        self.lines = []
        self.recording = Recording(CAMERAS)
        self.supervisor = Supervisor(specs, graph.environment(), self.lines.append)
        self.course = Demo(self.supervisor, self.recording, lambda text: None)

    def __enter__(self):
        self.supervisor.__enter__()
        self.course.__enter__()
        return self

    def __exit__(self, *error):
        self.course.__exit__(*error)
        self.supervisor.stop()

    def text(self):
        return "\n".join(f"{line.name}: {line.text}" for line in self.lines)


def test_the_stack_comes_up_moves_the_arms_by_chunks_and_leaves_no_process_behind(is_alive):
    with Stack(graph.build_graph(graph.StackOptions())) as stack:
        processes = dict(stack.supervisor.process_ids())
        assert set(processes) == set(NODES)
        stack.course.wait_until_active(NODES)
        node, positions = stack.course.node, []
        node.create_subscription(
            JointState, "/joint_states", lambda message: positions.append(message.position), qos.SENSOR
        )
        instruction = node.reset_world("lift_tray", 1_000_000, stack.course.wait_for_answer)
        node.set_task(instruction, 1, stack.course.wait_for_answer)
        chunks = stack.recording.chunks
        stack.course.wait(lambda: sum(chunk.was_executed for chunk in chunks) >= 4, "four chunks", 60.0)
        assert stack.recording.frames, "no picture was recorded"
    moved = np.ptp(np.array(positions)[:, :14], axis=0)
    assert moved[:7].max() > 0.02 and moved[7:].max() > 0.02, f"arms moved by {moved.round(3)} rad\n{stack.text()}"
    executed = [chunk for chunk in chunks if chunk.was_executed]
    assert all(chunk.blocking > 0.0 for chunk in executed)
    assert any(chunk.speculation is not None for chunk in executed), "nothing was speculated"
    assert not [name for name, process in processes.items() if is_alive(process)]
    assert "Traceback" not in stack.text(), stack.text()
    assert not re.search(r"clwm: .* (killed|ended with code)", stack.text()), stack.text()


def test_an_encoder_other_than_the_policys_is_refused_with_both_hashes():
    specs = [spec for spec in graph.build_graph(graph.StackOptions()) if spec.name == "policy"]
    wrong = graph.NodeSpec(**{**vars(specs[0]), "parameters": {**specs[0].parameters, "encoder_hash": "0123" * 16}})
    with Stack([wrong]) as stack:
        with pytest.raises(StackError, match=r"policy: configure refused: .*trained on encoder .*012301230123"):
            stack.course.wait_until_active(["policy"])


def test_a_corrupt_checkpoint_is_refused_by_name(tmp_path):
    spec = next(spec for spec in graph.build_graph(graph.StackOptions()) if spec.name == "policy")
    weights = Path(spec.parameters["checkpoint"])
    for path in (weights, weights.with_suffix(".json")):
        shutil.copy(path, tmp_path / path.name)
    broken = tmp_path / weights.name
    broken.write_bytes(weights.read_bytes()[:-1000])
    wrong = graph.NodeSpec(**{**vars(spec), "parameters": {**spec.parameters, "checkpoint": str(broken)}})
    with Stack([wrong]) as stack:
        with pytest.raises(StackError, match=f"{re.escape(str(broken))} has sha256"):
            stack.course.wait_until_active(["policy"])


def test_a_node_that_is_killed_is_started_again():
    spec = next(spec for spec in graph.build_graph(graph.StackOptions()) if spec.name == "executor")
    with Stack([spec]) as stack:
        stack.course.wait_until_active(["executor"])
        first = stack.supervisor.process_ids()["executor"]
        os.kill(first, 9)
        deadline = time.monotonic() + 30.0
        while stack.supervisor.process_ids().get("executor", first) == first and time.monotonic() < deadline:
            stack.supervisor.poll(timeout=0.2)
        assert stack.supervisor.restart_count == 1
        assert "executor was killed by signal 9; starting it again" in stack.text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_however_clwm_up_ends_no_process_is_left_behind(number, code, is_alive):
    process = subprocess.Popen(
        [sys.executable, "-m", "clwm_bringup", "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if "executor activate: done" in line:
            break
    children = [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) == len(NODES)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    deadline = time.monotonic() + 20.0
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, f"still alive: {[child for child in children if is_alive(child)]}"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def no_context_is_left_over():
    yield
    assert not rclpy.ok(), "the ROS context was not shut down"
