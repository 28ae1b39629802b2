"""An operator's order goes to one executor or to none, and a stack does not start where another one is."""

import os
import threading

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_common.claims import Stage
from clwm_common.ros import claiming
from clwm_common.ros.claiming import PERIOD, RoleClaim
from clwm_msgs.srv import SetMode, SetTask


class Executors:
    """As many as wanted, each in a context of its own, that say yes to everything; `orders` is what they were told."""

    def __init__(self):
        self.orders, self._made = [], []

    def add(self, name, claims=True):
        context = Context()
        rclpy.init(context=context)
        node = rclpy.create_node(name, context=context)
        node.create_service(SetMode, "/clwm/set_mode", lambda request, answer: self._obey(name, request.mode, answer))
        node.create_service(SetTask, "/clwm/set_task", lambda request, answer: self._obey(name, "task", answer))
        if claims:
            role = RoleClaim(node, "executor")
            # Two at once is what this is about, so they do not listen to each other.
            role._contest._listen = 0.0
            role._contest.hear = lambda now, other: None
            assert role.acquire([f"/{name}"]) is None and role.claim.stage is Stage.HOLDING
            node.create_timer(PERIOD, role.tick)
        spinner = SingleThreadedExecutor(context=context)
        spinner.add_node(node)
        thread = threading.Thread(target=self._spin, args=(spinner,), daemon=True)
        thread.start()
        self._made.append((context, node, spinner, thread))

    def close(self):
        for context, node, spinner, thread in self._made:
            spinner.shutdown()
            thread.join(5.0)
            node.destroy_node()
            context.try_shutdown()

    def _obey(self, name, order, answer):
        self.orders.append((name, order))
        answer.accepted = True
        return answer

    @staticmethod
    def _spin(spinner):
        try:
            spinner.spin()
        except rclpy.executors.ExternalShutdownException:
            pass


@pytest.fixture
def executors(monkeypatch):
    monkeypatch.setattr(claiming, "LISTEN", 2.0)
    made = Executors()
    yield made
    made.close()


def clwm(*arguments):
    done = CliRunner().invoke(cli.app, arguments)
    assert not rclpy.ok()
    return done.exit_code, done.output


def test_an_order_to_one_executor_is_sent_and_one_to_two_is_not_and_both_are_named(executors):
    executors.add("one")
    code, said = clwm("mode", "policy")
    assert code == 0 and executors.orders == [("one", 0)], said
    executors.add("two")
    for order in (("task", "lift the tray"), ("mode", "policy"), ("teleop", "--circle")):
        executors.orders.clear()
        code, said = clwm(*order)
        assert code == 1 and executors.orders == [], said
        assert "2 executors serve /clwm/set_mode" in said and "'/one'" in said and "'/two'" in said, said
        assert f"process {os.getpid()}" in said and "end all but one" in said


def test_a_stop_reaches_all_executors_and_ends_with_1_for_there_should_be_one(executors):
    executors.add("one")
    executors.add("two", claims=False)
    code, said = clwm("mode", "hold")
    assert code == 1 and "2 executors serve /clwm/set_mode" in said and "'/two'" in said, said
    assert {name for name, _ in executors.orders} == {"one", "two"}


def test_a_stack_does_not_start_where_a_part_of_another_is_and_says_where(executors):
    executors.add("one")
    code, said = clwm("up")
    assert code == 1, said
    for part in ("another stack is on ROS_DOMAIN_ID", "the executor node '/one'", f"kill {os.getpid()}", "starting"):
        assert (part in said) == (part != "starting"), said
