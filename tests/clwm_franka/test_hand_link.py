"""franky's hand against franky-sim's server: commands that are overtaken, and what is between the fingers."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PROCESS = Path(__file__).with_name("hand_process.py")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("franky") is None,
    reason="franky is not among the dependencies of every installation: pip install .[franka]",
)


def endings(address, *commands):
    """How a hand's commands ended, those that were overtaken left out."""
    told = "".join(f"{command}\n" for command in commands)
    done = subprocess.run([sys.executable, str(PROCESS), address], input=told, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_block_between_the_fingers_is_held_and_let_go_of(robots):
    held, opened = endings(robots.addresses[0], "grasp 0.02", "move 0.08")
    assert held["is_holding"] and held["width"] == pytest.approx(0.04, abs=1e-3)
    assert not opened["problem"] and opened["width"] == pytest.approx(0.08, abs=1e-3)


def test_a_grasp_on_nothing_is_reported_as_that(robots):
    (ending,) = endings(robots.addresses[1], "grasp 0.02")
    assert not ending["is_holding"] and ending["note"] == "closed to 0.020 m on nothing"


def test_a_newer_command_takes_the_place_of_one_that_runs(robots):
    (ending,) = endings(robots.addresses[1], "grasp 0.0 !", "move 0.07")
    assert not ending["problem"] and ending["width"] == pytest.approx(0.07, abs=1e-3)


def test_a_hand_where_nobody_answers_is_said(robots):
    (lost,) = endings(robots.addresses[0].rpartition(".")[0] + ".9")
    assert "refused" in lost["lost"].lower() or "connect" in lost["lost"].lower()
