"""What the demo's course takes for a stack that is up: errors that pass are waited out, refusals are not."""

import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray

from clwm_bringup.supervisor import Supervisor
from clwm_common.ros import qos
from clwm_common.ros.diagnostics import ACTIVE, Health, Level, to_array
from clwm_operator.demo import course as demo
from clwm_operator.demo.course import Demo, EpisodePlan
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Recording
from clwm_sim.shipped_tasks import UnknownTask, longest_episode

STALE = Health(Level.ERROR, "joint states are 0.21 s old; at most 0.2 s expected", {ACTIVE: True})


@pytest.fixture
def course():
    with Supervisor([], {}, lambda line: None) as supervisor:
        with Demo(supervisor, Recording(("head",)), lambda text: None) as course:
            yield course


def says(course, *words):
    """The executor says one health after the other over DDS, the last one again and again."""
    publisher = course.node.create_publisher(DiagnosticArray, "/diagnostics", qos.REPORT)
    remaining = list(words)

    def say():
        health = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        publisher.publish(to_array(course.node.get_clock().now().to_msg(), "executor", health))

    course.node.create_timer(0.02, say)


def test_an_error_of_an_active_node_is_waited_out(course):
    said = []
    course._on_step = said.append
    says(course, Health(Level.WARN, "not active", {ACTIVE: False}), *[STALE] * 20, Health(values={ACTIVE: True}))
    course.wait_until_active(["executor"])
    assert said == ["executor is active"]
    assert course.node.health["executor"].level is Level.OK


def test_a_node_that_refused_to_become_active_ends_the_wait_with_its_reason(course):
    says(course, Health(Level.ERROR, "configure refused: the model is missing", {ACTIVE: False}))
    with pytest.raises(StackError, match="did not come up: executor: configure refused: the model is missing"):
        course.wait_until_active(["executor"])


def test_an_error_that_does_not_pass_is_named_when_time_is_up(course, monkeypatch):
    monkeypatch.setattr(demo, "START_TIMEOUT", 1.0)
    says(course, STALE)
    with pytest.raises(StackError, match=r"within 1 s: executor: joint states are 0.21 s old.*; policy: silent; see"):
        course.wait_until_active(["executor", "policy"])


def test_a_wait_for_a_stack_whose_clock_never_comes_ends_by_the_machines_clock(monkeypatch):
    monkeypatch.setattr(demo, "STANDS", 0.4)
    with Supervisor([], {}, lambda line: None) as supervisor:
        with Demo(supervisor, Recording(("head",)), lambda text: None, is_simulated_time=True) as course:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                course.wait(lambda: False, "a sign", 0.2)
            assert course.node.now() == 0.0 and time.monotonic() - began >= 0.4


def test_a_wait_lasts_as_long_as_the_stacks_clock_takes_for_its_time(course):
    # A clock at a tenth of real time; its first reading is no time that has passed.
    began = time.monotonic()
    course.node.now = lambda: 0.0 if time.monotonic() < began + 0.1 else 1e9 + 0.1 * (time.monotonic() - began)
    with pytest.raises(TimeoutError):
        course.wait(lambda: False, "a sign", 0.05)
    assert time.monotonic() - began >= 0.55


def test_an_episode_has_the_seed_that_counts_up_unless_it_names_its_own():
    assert EpisodePlan.parse(" tray:lift_tray ", 7) == EpisodePlan("tray:lift_tray", 7)
    assert EpisodePlan.parse("tray:load_tray@12", 7) == EpisodePlan("tray:load_tray", 12)


@pytest.mark.parametrize("text", ["tray:load_tray@", "tray:load_tray@-1", "lift_tray@x"])
def test_a_seed_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="is no seed; expected a whole number from 0 on, as in"):
        EpisodePlan.parse(text, 7)


def test_an_unknown_task_is_refused_with_those_that_exist():
    with pytest.raises(UnknownTask, match="task 'dance' does not exist; expected one of"):
        EpisodePlan.parse("dance", 7)


def test_an_episode_may_last_as_long_as_the_goals_it_may_be_about():
    assert longest_episode("pot:keep_still", 3) < longest_episode("pot", 3) == longest_episode("pot:lift_pot", 3)
    assert longest_episode("lift_tray", 3) > 5.0
