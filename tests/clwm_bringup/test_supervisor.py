"""Real child processes: output reaches the caller, deaths are answered, the end is orderly and complete."""

import os
import sys
import time
from dataclasses import dataclass

import pytest

from clwm_bringup.supervisor import Supervisor


@dataclass(frozen=True)
class Script:
    """Stands in for a NodeSpec: any Python code as a process."""

    name: str
    code: str

    def command(self):
        return [sys.executable, "-c", self.code]


PATIENT = """
import signal, sys, time
def end(number, frame):
    print("{name} ends", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, end)
print("{name} up", flush=True)
while True: time.sleep(0.05)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def patient(name):
    return Script(name, PATIENT.replace("{name}", name))


def poll_until(supervisor, condition, timeout=20.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        supervisor.poll(timeout=0.1)


def test_processes_end_policy_first_and_sim_last():
    lines = []
    names = ("sim", "perception", "executor", "policy")
    with Supervisor([patient(name) for name in names], os.environ, lines.append) as supervisor:
        poll_until(supervisor, lambda: sum(line.text.endswith(" up") for line in lines) == 4)
    ends = [line.name for line in lines if line.text.endswith(" ends")]
    assert set(ends[:2]) == {"policy", "perception"} and ends[2:] == ["executor", "sim"], ends


def test_a_process_that_died_is_started_again_and_said_so():
    lines = []
    with Supervisor(
        [Script("policy", "import sys; print('up', flush=True); sys.exit(7)")], os.environ, lines.append
    ) as supervisor:
        poll_until(supervisor, lambda: supervisor.restart_count == 1)
    assert any(line.name == "clwm" and "policy ended with code 7; starting it again" in line.text for line in lines)


def test_a_process_with_wrong_parameters_is_given_up():
    with Supervisor([Script("policy", "raise SystemExit(2)")], os.environ, lambda line: None) as supervisor:
        poll_until(supervisor, lambda: supervisor.given_up)
        assert supervisor.process_ids() == {} and "parameters" in supervisor.given_up["policy"]


def test_a_process_that_ignores_the_request_to_end_is_killed(monkeypatch):
    monkeypatch.setattr("clwm_bringup.supervisor.GRACE", 0.3)
    lines = []
    with Supervisor([Script("sim", STUBBORN)], os.environ, lines.append) as supervisor:
        poll_until(supervisor, lambda: any(line.text == "up" for line in lines))
        process_id = supervisor.process_ids()["sim"]
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
    assert any("did not end" in line.text for line in lines)


def test_nothing_is_left_running_when_a_later_process_cannot_be_started():
    broken = Script("policy", "")
    object.__setattr__(broken, "command", lambda: ["/no/such/program"])
    supervisor = Supervisor([patient("sim"), broken], os.environ, lambda line: None)
    with pytest.raises(FileNotFoundError):
        supervisor.__enter__()
    assert supervisor.process_ids() == {}
