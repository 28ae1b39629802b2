"""Real child processes: output reaches the caller, deaths are answered, the end is orderly and complete."""

import contextlib
import os
import signal
import subprocess
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
signal.signal(signal.SIGTERM, end)
print("{name} up", flush=True)
while True: time.sleep(0.05)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def patient(name):
    return Script(name, PATIENT.replace("{name}", name))


def poll_until(supervisor, condition, timeout=20.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        supervisor.poll(timeout=0.1)


def test_processes_end_executor_first_and_sim_last():
    lines = []
    names = ("sim", "perception", "executor", "policy")
    with Supervisor([patient(name) for name in names], os.environ, lines.append) as supervisor:
        poll_until(supervisor, lambda: sum(line.text.endswith(" up") for line in lines) == 4)
    ends = [line.name for line in lines if line.text.endswith(" ends")]
    assert ends[0] == "executor" and set(ends[1:3]) == {"policy", "perception"} and ends[3] == "sim", ends


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
        assert supervisor.is_refused


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
    broken = Script("policy", "a null byte \0, which no process can be given")
    supervisor = Supervisor([patient("sim"), broken], os.environ, lambda line: None)
    with pytest.raises(ValueError, match="null byte"):
        supervisor.__enter__()
    assert supervisor.process_ids() == {}


def test_a_program_that_does_not_exist_is_named():
    lines = []
    missing = Script("policy", "")
    object.__setattr__(missing, "command", lambda: ["/no/such/program"])
    with Supervisor([missing], os.environ, lines.append) as supervisor:
        poll_until(supervisor, lambda: supervisor.restart_count == 1)
    assert any("/no/such/program cannot be started (No such file" in line.text for line in lines)


# Its child leaves the group, so that nothing ends it, and keeps the pipe to the supervisor open.
WITH_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print('child up', flush=True); time.sleep(60)"] {how})
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def with_a_child():
    """how -> a living process, its child, and the supervisor of both."""
    with contextlib.ExitStack() as stack:

        def start(how):
            lines = []
            script = Script("policy", WITH_A_CHILD.replace("{how}", how))
            supervisor = stack.enter_context(Supervisor([script], os.environ, lines.append))
            poll_until(supervisor, lambda: {"child up"} < {line.text for line in lines})
            child = next(int(line.text) for line in lines if line.text.isdigit())
            stack.callback(kill, child)
            return supervisor, child, lines

        yield start


def kill(process_id):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)


def test_a_death_is_noticed_at_once_also_while_a_grandchild_holds_the_pipe(with_a_child):
    supervisor, _, lines = with_a_child(", start_new_session=True")
    kill(supervisor.process_ids()["policy"])
    began = time.monotonic()
    poll_until(supervisor, lambda: any("killed by signal 9" in line.text for line in lines))
    assert time.monotonic() - began < 1.0  # it takes 0.1 s; the grandchild lives for a minute


def test_what_a_dead_process_has_started_ends_with_it(with_a_child, is_alive):
    supervisor, child, _ = with_a_child("")
    kill(supervisor.process_ids()["policy"])
    poll_until(supervisor, lambda: not is_alive(child))


def test_the_last_words_of_a_process_come_before_its_death():
    lines = []
    code = "print('\\n'.join(['word'] * 1000)); raise SystemExit(7)"
    with Supervisor([Script("policy", code)], os.environ, lines.append) as supervisor:
        poll_until(supervisor, lambda: supervisor.restart_count == 1)
    texts = [line.text for line in lines]
    assert next(index for index, text in enumerate(texts) if "ended with code 7" in text) == 1000


def test_nothing_runs_between_fork_and_exec_but_the_program_itself(monkeypatch):
    asked = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: asked.append(kwargs) or popen(*args, **kwargs))
    with Supervisor([patient("sim")], os.environ, lambda line: None):
        pass
    assert asked and not any(kwargs.get("preexec_fn") for kwargs in asked)


def test_a_process_ends_when_its_supervisor_is_killed(tmp_path, is_alive):
    code = (
        "import os, sys, time; sys.path[:0] = sys.argv[1].split(os.pathsep)\n"
        "from clwm_bringup.supervisor import Supervisor\n"
        "class Spec:\n"
        "    name = 'sim'\n"
        "    def command(self): return [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "supervisor = Supervisor([Spec()], os.environ, print).__enter__()\n"
        "print(supervisor.process_ids()['sim'], flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, os.pathsep.join(sys.path)], stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 20.0
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_is_ended_while_it_still_starts_ends_without_a_word():
    lines = []
    slow = "print('importing', flush=True)\nimport time\ntime.sleep(60)"
    with Supervisor([Script("sim", slow)], os.environ, lines.append) as supervisor:
        poll_until(supervisor, lambda: lines)
    assert [line.text for line in lines] == ["importing"]
