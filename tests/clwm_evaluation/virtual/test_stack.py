"""The stack on a virtual clock, with sources of chunks whose behaviour is known."""

import math

import numpy as np
import pytest

from clwm_common.actions import CHUNK_ROWS, JOINTS
from clwm_common.messages import ActionChunk, Mode
from clwm_evaluation.virtual.chunk_sources import Answer, ExpertSource, ModelSource, NoAnswer
from clwm_evaluation.virtual.stack import Latency, LatencyError, VirtualStack
from clwm_policy.errors import NonFiniteOutput
from clwm_sai_executor.config import SchedulerConfig
from clwm_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("lift_tray", image_size=32)
    yield world
    world.close()


class Still:
    """Answers every request with the committed rows, held; counts what it was asked to do."""

    def __init__(self, seconds=0.03, step=0.02, steps_wanted=5):
        self.seconds, self.step, self.steps_wanted = seconds, step, steps_wanted
        self.stamps, self.used, self.requests, self.budgets = [], [], [], []

    def begin(self, world):
        self.world = world

    def request(self, request):
        self.requests.append(request)

    def cancel(self, chunk_id):
        self.requests.append(None)

    def speculate(self, budget):
        self.budgets.append(budget)
        steps = min(self.steps_wanted, math.ceil(budget / self.step)) if math.isfinite(budget) else self.steps_wanted
        self.used.append(steps * self.step)
        return self.used[-1]

    def close(self):
        pass

    def rows(self, prefix):
        return np.concatenate([prefix, np.repeat(prefix[-1:], CHUNK_ROWS - len(prefix), axis=0)])

    def answer(self, stamp, state, pictures):
        request = self.requests[-1]
        self.stamps.append((stamp, state.stamp, request))
        chunk = ActionChunk(
            request.chunk_id, request.task_epoch, request.observe_at, self.rows(request.committed_prefix),
            prefix_rows=len(request.committed_prefix), observation_stamp=stamp,
        )  # fmt: skip
        return Answer(chunk, None, self.seconds)


def short(world, seconds, monkeypatch):
    monkeypatch.setattr(type(world.task), "timeout", seconds)


def test_fixed_latency_is_the_blocking_time_of_every_chunk(world, monkeypatch):
    short(world, 2.0, monkeypatch)
    result = VirtualStack(world, Still(seconds=5.0), Latency(0.08)).run(3)
    assert result.chunks >= 3
    np.testing.assert_allclose(result.blocking, 0.08, atol=1e-6)
    assert (result.outcome, result.stalls) == ("timeout", 0)


def test_measured_latency_delays_each_chunk_by_its_computing(world, monkeypatch):
    short(world, 2.0, monkeypatch)
    result = VirtualStack(world, Still(seconds=0.11, steps_wanted=0), Latency()).run(3)
    np.testing.assert_allclose(result.blocking, 0.11, atol=1e-6)


def test_speculation_step_still_running_when_the_pictures_come_delays_the_chunk(world, monkeypatch):
    short(world, 2.0, monkeypatch)
    source = Still(seconds=0.05, step=0.4, steps_wanted=100)
    result = VirtualStack(world, source, Latency()).run(3)
    for budget, used, blocking in zip(source.budgets, source.used, result.blocking, strict=False):
        assert blocking == pytest.approx(0.05 + max(0.0, used - budget), abs=1e-6)
    assert max(result.blocking) > 0.1


def test_computing_longer_than_the_committed_tail_stalls_the_arms(world, monkeypatch):
    short(world, 3.0, monkeypatch)
    result = VirtualStack(world, Still(), Latency(0.5)).run(3)
    assert result.stalls >= 2
    assert result.idle_fraction > 0.2


def test_fixed_latency_speculates_without_bound_while_moving_and_not_at_rest(world, monkeypatch):
    short(world, 2.0, monkeypatch)
    source = Still()
    VirtualStack(world, source, Latency(0.08)).run(3)
    moving = [request for _, _, request in source.stamps if not request.at_rest]
    assert source.budgets == [math.inf] * len(moving)
    assert len(moving) == len(source.stamps) - 1


@pytest.mark.parametrize("seed", range(5))
def test_pictures_are_taken_within_half_a_frame_of_what_was_asked_for(world, monkeypatch, seed):
    short(world, 2.0, monkeypatch)
    source = Still()
    VirtualStack(world, source, Latency(0.08)).run(seed)
    for stamp, state_stamp, request in source.stamps:
        assert state_stamp == pytest.approx(stamp, abs=1e-6)
        late = stamp - request.observe_at
        assert -1e-6 <= late < 0.05 if request.at_rest else abs(late) <= 0.025 + 1e-6


def test_source_that_cannot_answer_leaves_the_arms_where_they_are(world, monkeypatch):
    short(world, 3.0, monkeypatch)

    class Mute(Still):
        def answer(self, stamp, state, pictures):
            raise NoAnswer("the frame is black")

    result = VirtualStack(world, Mute(), Latency(0.05)).run(3)
    assert result.outcome == "timeout" and result.chunks == 0
    assert any("the frame is black" in text for text in result.refusals)


def test_chunk_with_a_nan_is_refused_and_the_arms_hold(world, monkeypatch):
    short(world, 2.0, monkeypatch)

    class Broken(Still):
        def rows(self, prefix):
            rows = super().rows(prefix).copy()
            rows[-1, JOINTS.start] = np.nan
            return rows

    result = VirtualStack(world, Broken(), Latency(0.05)).run(3)
    assert result.chunks == 0
    assert any("left_joint1" in text for text in result.refusals)


def test_standing_still_never_succeeds(world):
    result = VirtualStack(world, None, Latency(0.05), SchedulerConfig(initial_mode=Mode.HOLD)).run(7)
    assert (result.outcome, result.chunks) == ("timeout", 0)
    assert result.seconds == pytest.approx(world.task.timeout, abs=0.02)


def test_expert_through_executor_and_controllers_succeeds_without_a_stall(world):
    result = VirtualStack(world, ExpertSource(world.robot), Latency(0.06)).run(1_000_000)
    assert (result.outcome, result.stalls, result.refusals) == ("success", 0, ())


def test_engine_error_becomes_no_answer():
    class Engine:
        pending = None

        def finish(self, frame, state, time_left):
            raise NonFiniteOutput("rows are not finite")

    class Encoder:
        encoder_id = weights_hash = "none"

        def __call__(self, images):
            return np.zeros((3, 4, 4, 8), np.float16)

    source = ModelSource(Encoder(), Engine(), ("a", "b", "c"))
    with pytest.raises(NoAnswer, match="not finite"):
        source.answer(0.0, None, lambda: np.zeros((3, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("text", ["fast", "-3", "1e9", "nan"])
def test_latency_that_makes_no_sense_is_refused(text):
    with pytest.raises(LatencyError, match="expected"):
        Latency.parse(text)


def test_latency_is_read_as_measured_or_milliseconds():
    assert Latency.parse("measured") == Latency(None)
    assert Latency.parse("80") == Latency(0.08)
