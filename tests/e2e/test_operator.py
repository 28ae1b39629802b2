"""An operator without ROS's command line: a task is given and watched, the mode is chosen, refusals are explained."""

import os
import signal
import subprocess
import sys
import time

import pytest

from clwm_bringup import graph
from clwm_bringup.supervisor import Supervisor


def clwm(*arguments):
    return [sys.executable, "-m", "clwm_bringup", *arguments]


def run(supervisor, *arguments):
    """The command beside the running stack, whose output is taken in meanwhile: (exit code, what it said)."""
    process = subprocess.Popen(clwm(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120.0
    while process.poll() is None and time.monotonic() < deadline:
        supervisor.poll(timeout=0.1)
    return process.poll(), process.communicate()[0]


@pytest.fixture(scope="module")
def stack():
    lines = []
    with Supervisor(graph.build_graph(graph.StackOptions()), graph.environment(), lines.append) as supervisor:
        for name in ("sim", "perception", "executor", "policy"):
            while not any(line.name == name and "activate: done" in line.text for line in lines):
                supervisor.poll(timeout=0.2)
        yield supervisor


def test_a_task_is_given_with_its_world_and_watched_to_its_end(stack):
    for seed in range(1_000_000, 1_000_003):  # in real time the policy may fail one
        code, said = run(stack, "task", "--world", "lift_tray", "--seed", str(seed), "--wait", "30")
        if code == 0:
            break
    assert code == 0 and "succeeded after" in said, said


def test_a_task_that_cannot_succeed_ends_with_the_time_it_was_given(stack):
    code, said = run(stack, "task", "put the block on the pad", "--world", "lift_tray", "--wait", "1.5")
    assert code == 1 and "timed out after" in said, said


@pytest.mark.parametrize("words", ["dance", "pick the [left] block", "stop, do nothing and keep both arms still"])
def test_a_sentence_that_the_world_cannot_judge_never_succeeds(stack, words):
    code, said = run(stack, "task", words, "--insist", "--wait", "2")
    assert code == 1 and "nobody can judge this task: this world cannot judge" in said, said


def test_a_task_is_not_failed_by_a_world_whose_own_time_is_over(stack):
    """The world was reset to this task in a test before; its episodes take 12 s."""
    assert run(stack, "mode", "hold")[0] == 0
    assert run(stack, "task", "--world", "lift_tray")[0] == 0
    until = time.monotonic() + 13.0
    while time.monotonic() < until:
        stack.poll(timeout=0.1)
    code, said = run(stack, "task", "lift the tray with both hands and keep it level", "--wait", "1.5")
    assert code == 1 and "timed out after 1.5 s (not finished after 1.5 s)" in said, said
    assert run(stack, "mode", "policy")[0] == 0


def test_a_memory_that_was_never_kept_is_refused_where_it_was_asked_for(stack):
    for waiting in ((), ("--wait", "5")):
        code, said = run(stack, "task", "fold the towel", "--memory", "restore", *waiting)
        assert code == 1 and "no memory was kept for the task 'fold the towel'" in said, said


def test_a_sentence_that_the_policy_does_not_know_is_refused_with_the_nearest_until_somebody_insists(stack):
    for waiting in ((), ("--wait", "5")):
        code, said = run(stack, "task", "stop, do nothing and keep both arms still", *waiting)
        assert code == 1 and "is unlike all that the policy was trained with; the nearest is '" in said, said
    assert run(stack, "task", "stop, do nothing and keep both arms still", "--insist")[0] == 0


def test_a_watched_task_ends_with_an_error_when_the_executor_is_killed(stack):
    process = subprocess.Popen(clwm("task", "dance", "--insist", "--wait", "60"), stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60.0
    while "'dance'" not in run(stack, "watch", "--seconds", "1")[1] and time.monotonic() < until:
        pass
    os.kill(stack.process_ids()["executor"], signal.SIGKILL)
    while process.poll() is None and time.monotonic() < until:
        stack.poll(timeout=0.1)
    said = process.communicate()[0]
    assert process.poll() == 1 and "the executor has been silent for 3 s" in said, said


def test_ctrl_c_cancels_a_watched_task(stack):
    assert run(stack, "mode", "hold") == (0, "mode HOLD\n")  # so that it cannot succeed before it is cancelled
    process = subprocess.Popen(
        clwm("task", "fold the cloth", "--insist", "--world", "lift_tray", "--wait", "60"),
        stdout=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60.0
    while "fold the cloth" not in run(stack, "watch", "--seconds", "1")[1] and time.monotonic() < until:
        pass
    # Means the same as Ctrl-C, which a process that was started in the background may have been told to ignore.
    process.send_signal(signal.SIGTERM)
    while process.poll() is None and time.monotonic() < until:
        stack.poll(timeout=0.1)
    assert process.poll() == 1 and "cancelled after" in process.communicate()[0]


def test_a_world_that_does_not_exist_is_refused(stack):
    code, said = run(stack, "task", "--world", "fold_cloth")
    assert code == 1 and "the world refused to be reset to fold_cloth" in said, said


def test_estop_is_latched_until_hold_and_the_watch_says_so(stack):
    assert run(stack, "mode", "estop") == (0, "mode ESTOP\n")
    code, said = run(stack, "mode", "policy")
    assert code == 1 and "ESTOP is latched; set HOLD first" in said, said
    assert "ESTOP was ordered" in run(stack, "watch", "--seconds", "1")[1]
    assert run(stack, "mode", "hold") == (0, "mode HOLD\n")


def test_without_a_stack_the_operator_is_told_where_to_look(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "101")
    done = subprocess.run(clwm("mode", "hold"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "service /clwm/set_mode did not come within 5 s; is the stack up (clwm up)" in done.stdout
    assert "ROS_DOMAIN_ID 101 of this machine only" in done.stdout and "RANGE=SUBNET on both" in done.stdout
