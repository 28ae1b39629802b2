"""The stream of positions keeps to the path and its limits, whenever its ticks come, and falls silent at rest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor import events
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.outputs.position_stream import LAST_COPIES, LATE_TICKS, PositionStream

from ..conftest import START, VirtualStack

PERIOD = 0.01
VELOCITY = np.full(7, 2.0)


def move(stamp=START, way=0.2, start=0.0, rows=10):
    """A trajectory of one arm: all joints from rest at `start` over `way` rad to rest, in `rows` rows of 50 ms."""
    share = np.linspace(0.0, 1.0, rows + 1)[:, None]
    positions = start + way * share**2 * (3.0 - 2.0 * share) * np.ones(7)
    velocities = way * 6.0 * share * (1.0 - share) / (0.05 * rows) * np.ones(7)
    return events.SendTrajectory("left", stamp, positions, velocities, 0.05 * np.arange(rows + 1))


@pytest.fixture
def stream():
    return PositionStream(VELOCITY, PERIOD)


def run(stream, start, end, period=PERIOD):
    """Positions of one joint sent at ticks from `start` to `end`."""
    ticks = start + period * np.arange(round((end - start) / period) + 1)
    return [None if (sent := stream.due(tick)) is None else float(sent[0]) for tick in ticks]


def test_nothing_is_sent_before_there_is_a_path(stream):
    assert stream.is_over and run(stream, START, START + 1.0) == [None] * 101


def test_path_is_sampled_to_its_end_and_then_there_is_silence(stream):
    stream.take(move())
    sent = run(stream, START, START + 0.6)
    assert sent[0] == 0.0 and sent[25] == pytest.approx(0.1) and sent[50] == 0.2
    assert sent[50:53] == [0.2] * LAST_COPIES, "the last one may be lost"
    assert sent[53:] == [None] * 8 and stream.is_over


def test_path_that_is_resent_while_it_runs_changes_nothing(stream):
    other = PositionStream(VELOCITY, PERIOD)
    for each in (stream, other):
        each.take(move())
        run(each, START, START + 0.2)
    stream.take(move())
    assert run(stream, START + 0.21, START + 0.6) == run(other, START + 0.21, START + 0.6)


def test_late_tick_samples_its_own_instant_and_no_backlog_follows(stream):
    stream.take(move())
    run(stream, START, START + 0.2)
    late = stream.due(START + 0.2 + 1.9 * PERIOD)[0]
    other = PositionStream(VELOCITY, PERIOD)
    other.take(move())
    assert late == other.due(START + 0.2 + 1.9 * PERIOD)[0]


def test_after_a_long_pause_the_arm_is_brought_back_no_faster_than_it_may_move(stream):
    stream.take(move(way=0.4, rows=6))
    before = run(stream, START, START + 0.1)[-1]
    sent = [before, *run(stream, START + 0.3, START + 0.6)]
    steps = np.diff([value for value in sent if value is not None])
    assert steps.max() <= VELOCITY[0] * PERIOD * LATE_TICKS + 1e-12
    assert sent[1] < 0.2 and stream.is_over and 0.4 in sent


def test_pause_beyond_the_end_of_the_path_still_ends_at_its_end(stream):
    stream.take(move(way=0.4, rows=6))
    run(stream, START, START + 0.1)
    sent = run(stream, START + 5.0, START + 5.3)
    assert 0.4 in sent and sent[-1] is None


def test_clock_that_is_set_back_holds_the_arm(stream):
    stream.take(move())
    last = run(stream, START, START + 0.2)[-1]
    assert run(stream, START - 3.0, START - 2.9) == [last] * 11


def test_path_that_starts_where_the_last_one_ended_is_a_continuation(stream):
    stream.take(move(way=0.4, rows=6))
    before = run(stream, START, START + 0.1)[-1]
    stream.take(move(stamp=START + 1.0, start=0.4))
    assert stream.due(START + 1.0)[0] <= before + VELOCITY[0] * PERIOD * LATE_TICKS + 1e-12


def test_path_that_starts_elsewhere_is_where_the_arm_was_measured_and_is_sent_at_once(stream):
    stream.take(move())
    run(stream, START, START + 0.2)
    stream.take(move(stamp=START + 0.25, start=1.0))
    assert stream.due(START + 0.25)[0] == 1.0


def test_dropped_path_is_not_sent_any_more(stream):
    stream.take(move())
    run(stream, START, START + 0.2)
    stream.drop()
    assert stream.is_over and stream.due(START + 0.21) is None


class ForwardStack(VirtualStack):
    """The virtual stack with arms that are where the last position of a stream has put them.

    lateness: s by which each tick of the streams is late, drawn anew for every one.
    """

    def __init__(self, robot, lateness=lambda: 0.0, **config) -> None:
        super().__init__(robot, SchedulerConfig(**config))
        self.streams = {side: PositionStream(limit, PERIOD) for side, limit in self._limits().items()}
        self.commanded = robot.home.copy()
        self.sent = []
        self._lateness, self._due, self._tick_at = lateness, START, START
        self._velocity = np.zeros(14)

    def _limits(self):
        return dict(zip(events.SIDES, np.split(self.robot.limit("velocity"), 2), strict=True))

    def do(self, event):
        commands = super().do(event)
        for command in commands:
            if isinstance(command, events.SendTrajectory):
                self.streams[command.arm].take(command)
        return commands

    def measure(self):
        return self.do(events.MeasuredArms(self.now, self.commanded, self._velocity, self.widths))

    def run_until(self, instant, period=0.0025):
        while self.now < instant - 1e-9:
            self.now = min(self.now + period, instant)
            if self.now >= self._tick_at:
                self._tick()
            self.measure() if self.is_measured else self.do(events.Tick())

    def _tick(self):
        due = [stream.due(self.now) for stream in self.streams.values()]
        if due[0] is not None:
            position = np.concatenate(due)
            self._velocity = (position - self.commanded) / (self.now - self.sent[-1][0] if self.sent else PERIOD)
            self.commanded = position
            self.sent.append((self.now, position))
        else:
            self._velocity = np.zeros(14)
        self._due = max(self._due + PERIOD, self.now)
        self._tick_at = self._due + self._lateness()


@pytest.fixture(scope="module")
def forward_robot():
    return RobotDescription.load("dual_fr3_forward")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), speed=st.floats(-2.0, 2.0), lead=st.sampled_from([0.01, 0.02, 0.05]))
def test_output_stays_within_the_limits_under_random_latencies_and_comes_to_rest_on_hold_and_estop(
    forward_robot, seed, speed, lead
):
    rng = np.random.default_rng(seed)
    stack = ForwardStack(forward_robot, lambda: float(rng.choice([0.0, 0.002, 0.006])), lead=lead)
    stack.begin()
    for _ in range(4):
        stack.answer(latency=float(rng.uniform(0.02, 0.5)), speed=speed * float(rng.uniform(0.2, 1.0)))
    stack.run_until(stack.now + float(rng.uniform(0.0, 0.4)))
    told = stack.now
    stack.do(events.ModeSet(Mode.ESTOP if seed % 2 else Mode.HOLD))
    stack.run_until(told + 1.0)
    times, positions = map(np.array, zip(*stack.sent, strict=True))
    assert len(times) > 50 and times[-1] - told < 0.4
    assert all(stream.is_over for stream in stack.streams.values())
    low, high = (forward_robot.limit(f"position_{name}") for name in ("lower", "upper"))
    assert (positions >= low).all() and (positions <= high).all()
    gaps = np.diff(times)[:, None]
    velocities = np.diff(positions, axis=0) / gaps
    assert (np.abs(velocities) <= forward_robot.limit("velocity") + 1e-6).all()
    # The mean velocities of two neighbouring gaps lie half their sum apart.
    accelerations = np.diff(velocities, axis=0) / ((gaps[1:] + gaps[:-1]) / 2.0)
    assert (np.abs(accelerations) <= forward_robot.limit("acceleration") + 1e-4).all()


def test_stack_that_holds_sends_nothing(forward_robot):
    stack = ForwardStack(forward_robot)
    stack.begin()
    stack.run_until(START + 1.0)
    assert stack.sent == []
