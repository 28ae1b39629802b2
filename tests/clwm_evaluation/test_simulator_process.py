"""A process that simulates: what it answers is read, and what goes wrong is said. Real processes, of this Python."""

import sys

import pytest

from clwm_evaluation.simulator_process import LONGEST_ANSWER, SimulatorProcess, probed

SCRIPT = f"""
import json, sys, time
for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "echo": print(json.dumps(order), flush=True)
    if order["do"] == "refuse": print(json.dumps({{"error": "no such camera"}}), flush=True)
    if order["do"] == "chatter": print("x" * {LONGEST_ANSWER + 1}, flush=True)
    if order["do"] == "sleep": time.sleep(600)
    if order["do"] == "fall": sys.exit("out of memory")
"""


@pytest.fixture
def simulator(tmp_path):
    script = tmp_path / "world.py"
    script.write_text(SCRIPT)
    process = SimulatorProcess("Sim", sys.executable, script, tmp_path / "log", RuntimeError, patience=60.0)
    yield process
    process.close()


def test_orders_are_answered_one_by_one_and_one_that_is_refused_ends_nothing(simulator):
    assert simulator.order("echo", targets=[1.5])["targets"] == [1.5]
    with pytest.raises(RuntimeError, match="Sim refused 'refuse': no such camera"):
        simulator.order("refuse")
    assert simulator.order("echo", targets=[2.5])["targets"] == [2.5]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("fall", "Sim ended at 'fall': out of memory"),
        ("chatter", f"Sim answered more than {LONGEST_ANSWER} characters"),
    ],
)
def test_a_process_that_ends_or_answers_without_end_is_named_and_no_longer_asked(simulator, order, said):
    with pytest.raises(RuntimeError, match=said):
        simulator.order(order)
    with pytest.raises(RuntimeError, match="Sim ended at 'echo'"):
        simulator.order("echo")


def test_a_process_that_does_not_answer_is_ended(simulator):
    simulator.order("echo")  # it has started
    simulator._patience = 0.2
    with pytest.raises(RuntimeError, match="Sim has not answered for 0.2 s to 'sleep'"):
        simulator.order("sleep")


def test_a_python_without_the_simulator_is_refused_with_the_remedy():
    with pytest.raises(RuntimeError, match="has no Sim .*No module named 'sim_of_nobody'.*; install it"):
        probed(sys.executable, "Sim", "import sim_of_nobody", RuntimeError, "install it")
    with pytest.raises(RuntimeError, match="cannot be started .*name the Python of Sim's environment"):
        probed("/nowhere/python", "Sim", "", RuntimeError, "install it")
    assert probed(sys.executable, "Sim", "print(1)", RuntimeError, "install it") == "1"
