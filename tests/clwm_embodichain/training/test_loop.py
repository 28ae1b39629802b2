"""The loop of every training: it keeps what was learned, whenever it ends."""

import io
import os
import signal

import pytest
from rich.console import Console

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.training.curves import Curves
from clwm_embodichain.training.finite_steps import TrainingDiverged
from clwm_embodichain.training.loop import run_training

QUIET = Console(quiet=True)


class CountingTrainer:
    """A minute a step; `at_step` is called within each."""

    def __init__(self, steps, at_step=lambda step: None):
        self.steps, self.at_step = steps, at_step
        self.steps_done, self.seconds = 0, 0.0

    @property
    def progress(self):
        return self.steps_done / self.steps

    def step(self):
        self.at_step(self.steps_done)
        self.steps_done, self.seconds = self.steps_done + 1, self.seconds + 60.0
        return {"action": float(self.steps_done), "rate": 0.1}


@pytest.fixture
def curves(tmp_path):
    return Curves(tmp_path / "curves.jsonl")


def test_it_steps_to_the_end_and_keeps_now_and_then_and_at_last(curves):
    trainer, kept = CountingTrainer(25), []
    assert run_training(trainer, curves, lambda: kept.append(trainer.steps_done), 10.0, QUIET)
    assert trainer.steps_done == 25 and kept == [10, 20, 25]


def test_curves_get_means_of_twenty_steps_and_what_else_is_known(curves):
    run_training(CountingTrainer(45), curves, lambda: None, 1e6, QUIET, lambda: {"episodes": 7})
    first, second = curves.records()
    assert first == {"action": 10.5, "rate": pytest.approx(0.1), "minutes": 20.0, "step": 20, "episodes": 7}
    assert second["step"] == 40 and second["action"] == 30.5


def test_a_goal_that_not_every_step_meets_is_averaged_over_those_that_do(curves):
    trainer = CountingTrainer(20)
    real = trainer.step
    trainer.step = lambda: real() | ({"action/place": 3.0} if trainer.steps_done % 4 == 0 else {})
    run_training(trainer, curves, lambda: None, 1e6, QUIET)
    assert curves.records()[0]["action/place"] == 3.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_finish_and_keeps(curves, number):
    def press(step):
        if step == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    trainer, kept = CountingTrainer(100, press), []
    assert not run_training(trainer, curves, lambda: kept.append(trainer.steps_done), 1e6, QUIET)
    assert trainer.steps_done == 4 and kept == [4]
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_it_at_once(curves):
    def press(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_training(CountingTrainer(100, press), curves, lambda: pytest.fail("nothing is kept"), 1e6, QUIET)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_step_that_was_left_out_is_told_and_does_not_enter_the_curves(curves):
    trainer = CountingTrainer(21)
    step = trainer.step
    left_out = iter([True])
    trainer.step = lambda: None if trainer.steps_done == 3 and next(left_out, False) else step()
    said = io.StringIO()
    assert run_training(trainer, curves, lambda: None, 1e6, PlainConsole(file=said))
    assert "after step 3: a step left out, its loss or gradient is not finite" in said.getvalue()
    assert curves.records()[0]["action"] == 10.5


def test_a_training_that_diverges_keeps_nothing_more(curves):
    kept = []

    def diverge(step):
        if step == 7:
            raise TrainingDiverged("lost")

    trainer = CountingTrainer(100, diverge)
    with pytest.raises(TrainingDiverged):
        run_training(trainer, curves, lambda: kept.append(trainer.steps_done), 5.0, QUIET)
    assert kept == [5]


def test_a_budget_that_was_used_up_before_is_kept_once_more_and_no_step_is_made(curves):
    trainer, kept = CountingTrainer(5), []
    trainer.steps_done = 5
    assert run_training(trainer, curves, lambda: kept.append(True), 1.0, QUIET)
    assert trainer.steps_done == 5 and kept == [True]
