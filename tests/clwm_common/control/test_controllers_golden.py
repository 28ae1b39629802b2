"""The simulated controller against answers of the real one, which `data/README.md` describes."""

import json
import lzma
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import (
    ControllerParameters,
    JointTrajectoryController,
    TrajectoryRefused,
)
from clwm_common.control.trajectory import JointState, JointTrajectory, TrajectoryPoint

GOLDEN = Path(__file__).parents[1] / "data" / "jtc_golden.jsonl.xz"
NAMES = tuple(f"j{number}" for number in range(1, 8))
TOLERANCE = 1e-3  # rad
# Refused by ours and taken by the real one, which then commands numbers that nobody sent: this is meant.
MEANT = ("is named twice", "accelerations but no velocities")


@dataclass
class Comparison:
    """One sequence: differences (n,) rad of what could be compared, decisions that differ, with our reason."""

    seed: int
    differences: list[float] = field(default_factory=list)
    commands: int = 0
    decisions: Counter = field(default_factory=Counter)
    refused_by_ours: list[tuple[dict, list[list[float]]]] = field(default_factory=list)


class Replay:
    """Steps our controller through a sequence.

    What the two do is one only as long as they took the same messages: after one that ours alone refuses, a joint is
    compared again from point 0 of the next message on that names it, as from there on no history counts.
    """

    def __init__(self, sequence):
        self._period, self._origin = sequence["period_ns"], sequence["origin_ns"]
        self._controller = JointTrajectoryController(
            NAMES, sequence["q0"], ControllerParameters(**sequence["parameters"])
        )
        self._state = JointState(np.array(sequence["q0"]), np.zeros(7))
        self._at = 0
        self._unknown, self._known_from = set(), {}
        self._started_by = None
        self.found = Comparison(sequence["seed"])
        for event in sequence["events"]:
            self._receive(event) if "points" in event else self._compare(event)

    def _update_until(self, instant):
        """Up to the last update before `instant`, in ns."""
        while self._at < instant:
            if self._started_by is not None:
                names, first = self._started_by
                self._known_from.update(dict.fromkeys(names, self._at + first))
                self._started_by = None
            command = self._controller.update((self._origin + self._at) * 1e-9, self._period * 1e-9, self._state)
            self._state = JointState(command.positions, np.zeros(7))
            self._at += self._period

    def _receive(self, event):
        self._update_until(event["at_ns"])
        message = JointTrajectory(
            tuple(event["names"]),
            tuple(TrajectoryPoint(p["t_ns"] * 1e-9, p["p"], p["v"], p["a"], p["e"]) for p in event["points"]),
            (self._origin + event["stamp_ns"]) * 1e-9 if event["stamp_ns"] else 0.0,
        )
        try:
            self._controller.receive(message, (self._origin + event["at_ns"]) * 1e-9)
        except TrajectoryRefused as reason:
            self._refused(event, str(reason))
            return
        if not event["accepted"]:
            self.found.decisions["ours takes what the real one refuses"] += 1
        first = event["points"][0]["t_ns"]
        # Of a message that is replaced before its point 0 nothing is left.
        self._known_from = {}
        if event["stamp_ns"]:
            self._known_from.update(dict.fromkeys(event["names"], event["stamp_ns"] + first))
        else:
            self._started_by = (event["names"], first)

    def _refused(self, event, reason):
        if not event["accepted"]:
            return
        self.found.decisions[next((text for text in MEANT if text in reason), reason)] += 1
        self._unknown, self._known_from, self._started_by = set(NAMES), {}, None
        self.found.refused_by_ours.append((event, []))

    def _compare(self, event):
        self._update_until(event["at_ns"] + 1)
        # The command is for one period after the update.
        self._unknown -= {name for name, known_from in self._known_from.items() if self._at >= known_from}
        known = [index for index, name in enumerate(NAMES) if name not in self._unknown]
        self.found.commands += 7
        self.found.differences += np.abs(np.array(event["command"]) - self._state.positions)[known].tolist()
        if len(self._unknown) == 7 and self.found.refused_by_ours:
            self.found.refused_by_ours[-1][1].append(event["command"])


@pytest.fixture(scope="module")
def compared():
    with lzma.open(GOLDEN, "rt") as file:
        return [Replay(json.loads(line)).found for line in file]


def test_every_command_is_the_real_controllers_to_a_milliradian(compared):
    worst = {found.seed: max(found.differences) for found in compared}
    assert {seed: value for seed, value in worst.items() if value > TOLERANCE} == {}
    assert np.median(list(worst.values())) < 1e-6


def test_nearly_every_command_could_be_compared(compared):
    assert len(compared) == 60
    assert sum(len(found.differences) for found in compared) > 0.95 * sum(found.commands for found in compared)


def test_decisions_differ_only_where_ours_is_meant_to_refuse(compared):
    assert sum((found.decisions for found in compared), Counter()) == {MEANT[0]: 8, MEANT[1]: 5}


def test_the_real_controller_moves_a_joint_that_a_message_leaves_out_while_it_names_another_twice(compared):
    """Why it is meant that ours refuses: the real one takes what an earlier message left in its memory."""
    led = {}
    for found in compared:
        for event, commands in found.refused_by_ours:
            for joint in (index for index, name in enumerate(NAMES) if name not in event["names"]):
                led[found.seed] = float(np.ptp([command[joint] for command in commands])) if commands else 0.0
    assert max(led.values()) > 6.0, led
