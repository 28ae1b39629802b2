"""Taking the arms over from a page, step by step."""

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_operator.teleop.jog import SILENCE, Hand, Jog
from clwm_operator.teleop.steering import Act, Arms, Ask, LetGo, OrderTeleop, Steering

ROBOT = RobotDescription.load("dual_fr3_mujoco")
HOME, OPENINGS = ROBOT.home, np.array([0.04, 0.04])
DT = 0.02


class Page:
    """A human at a page, and an executor that gives the arms when it is asked and the switch is held."""

    def __init__(self):
        self.steering = Steering(Jog(ROBOT))
        self.now, self.is_owned, self.joints = 100.0, False, HOME.copy()
        self.said = []

    def hold(self, is_held, **asked):
        self.steering.hear(self.now, "me", Hand(dead_man=is_held, seen=self.now, **asked))

    def step(self, gives_arms=True):
        self.now += DT
        arms = Arms(self.joints, OPENINGS, self.is_owned)
        commands = self.steering.step(self.now, arms)
        for command in commands:
            match command:
                case OrderTeleop():
                    self.is_owned = gives_arms
                case LetGo():
                    self.is_owned = False
                case Ask(joints, _) if self.is_owned:
                    self.joints = joints
        self.said += commands
        return commands

    def run(self, steps, is_held=True, gives_arms=True, **asked):
        for _ in range(steps):
            self.hold(is_held, **asked)
            self.step(gives_arms)

    def take(self):
        self.steering.take("me")
        self.run(1, is_held=False)


@pytest.fixture
def page():
    return Page()


def test_taking_over_moves_nothing_before_the_switch_is_held(page):
    page.take()
    page.run(50, is_held=False)
    assert page.said == [] and page.steering.act is Act.READY


def test_the_arms_are_asked_for_where_they_are_and_then_steered(page):
    page.take()
    page.run(5)
    assert all(np.array_equal(it.joints, HOME) for it in page.said if isinstance(it, Ask))
    assert sum(isinstance(it, OrderTeleop) for it in page.said) == 1
    page.run(30, joint=1.0)
    assert page.steering.act is Act.STEERING and page.joints[0] > HOME[0] + 0.1


def test_a_switch_that_was_held_before_the_take_over_does_not_count(page):
    page.steering.take("me")
    page.run(20)
    assert page.said == [] and page.steering.act is Act.READY
    page.run(1, is_held=False)
    page.run(10)
    assert page.steering.act is Act.STEERING


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_releasing_the_switch_lets_the_arms_go_once(page, steps):
    page.take()
    page.run(steps, joint=1.0)
    page.run(10, is_held=False)
    assert [it for it in page.said if isinstance(it, LetGo)] == [LetGo()] and page.steering.act is Act.READY


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_silence_lets_the_arms_go(page, steps):
    page.take()
    page.run(steps)
    page.said.clear()
    for _ in range(round(SILENCE / DT) + 2):
        page.step()
    assert page.said[-1] == LetGo() and page.steering.act is Act.READY


def test_after_silence_the_switch_has_to_be_released_before_it_counts_again(page):
    page.take()
    page.run(8)
    for _ in range(20):
        page.step()
    page.said.clear()
    page.run(20)
    assert page.said == []
    page.run(1, is_held=False)
    page.run(10)
    assert page.steering.act is Act.STEERING


def test_arms_that_are_taken_away_are_not_taken_back(page):
    page.take()
    page.run(8)
    page.is_owned = False
    page.run(20)
    assert page.steering.act is Act.READY and "taken away" in page.steering.note


def test_an_executor_that_refuses_is_not_asked_again_and_its_reason_is_told(page):
    page.take()
    page.run(6, gives_arms=False)
    assert page.steering.refused("ESTOP is latched; set HOLD first") == [LetGo()]
    page.said.clear()
    page.run(20, gives_arms=False)
    assert page.said == [] and page.steering.note == "ESTOP is latched; set HOLD first"


def test_arms_that_are_not_measured_are_let_go(page):
    page.take()
    page.run(8)
    page.hold(True)
    assert page.steering.step(page.now, None) == [LetGo()] and "not measured" in page.steering.note


def test_another_pages_words_steer_nothing(page):
    page.take()
    for _ in range(10):
        page.steering.hear(page.now, "other", Hand(dead_man=True, joint=1.0, seen=page.now))
        page.step()
    assert page.said == []


def test_handing_back_lets_go_and_ends_the_take_over(page):
    page.take()
    page.run(8)
    assert page.steering.give_back() == [LetGo()]
    page.said.clear()
    page.run(20)
    assert page.said == [] and page.steering.act is Act.FREE and not page.steering.seat


def test_a_take_over_by_another_page_lets_go_first(page):
    page.take()
    page.run(8)
    assert page.steering.take("other") == [LetGo()]
    page.run(20)
    assert page.steering.act is Act.READY and page.steering.seat == "other"


def test_an_order_to_hold_releases_the_switch_whoever_holds_it(page):
    page.take()
    page.run(8)
    assert page.steering.release() == [LetGo()]
    page.said.clear()
    page.run(20)
    assert page.said == [] and page.steering.act is Act.READY


class Far(Jog):
    """What a hand that is not where the arms are may not do, for as long as `is_far`."""

    is_far = True

    def obstacle(self, hand, measured):
        return "bring it nearer" if self.is_far else ""


@pytest.fixture
def far():
    page = Page()
    page.steering = Steering(Far(ROBOT))
    page.take()
    return page


def test_a_hand_that_is_not_where_the_arms_are_does_not_even_ask_for_them(far):
    far.run(20)
    assert far.said == [] and far.steering.act is Act.READY and far.steering.note == "bring it nearer"


def test_a_switch_that_was_refused_has_to_be_released_before_it_counts(far):
    far.run(5)
    far.steering._wish.is_far = False
    far.run(20)
    assert far.said == []
    far.run(1, is_held=False)
    far.run(10)
    assert far.steering.act is Act.STEERING


def test_a_hand_that_goes_away_while_the_arms_are_asked_for_lets_them_go(far):
    far.steering._wish.is_far = False
    far.run(3)
    assert far.steering.act is Act.CLAIMING
    far.steering._wish.is_far, far.is_owned = True, True
    far.run(3)
    assert far.said[-1] == LetGo() and far.steering.act is Act.READY and far.steering.note == "bring it nearer"
