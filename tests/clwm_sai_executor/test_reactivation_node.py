"""Deactivation brings the arms to rest whatever fails; activation puts the executor into the mode it starts with."""

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from clwm_common.messages import Mode
from clwm_sai_executor import events
from clwm_sai_executor.node import ExecutorNode

pytestmark = pytest.mark.usefixtures("ros_context")


@pytest.fixture
def active():
    """start mode -> a node that is active."""
    made = []

    def active(start_mode="POLICY"):
        node = ExecutorNode(parameter_overrides=[Parameter("start_mode", value=start_mode)])
        made.append(node)
        assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return node

    yield active
    for node in made:
        node.trigger_shutdown()
        node.destroy_node()


def reactivate(node):
    node.trigger_deactivate()
    assert not node.is_active and node.trigger_activate() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize("start_mode", ["POLICY", "HOLD"])
def test_activated_again_the_executor_is_in_the_mode_it_starts_with(active, start_mode):
    node = active(start_mode)
    reactivate(node)
    assert node.scheduler.mode is Mode[start_mode]


def test_the_task_ends_with_the_deactivation_and_activation_alone_asks_for_no_chunk(active):
    node = active()
    node.perform(events.TaskSet("lift the tray"))
    reactivate(node)
    assert node.scheduler.task is None and node.scheduler.pending_id is None


def test_an_emergency_stop_outlives_deactivation_and_activation(active):
    node = active()
    node.perform(events.ModeSet(Mode.ESTOP))
    reactivate(node)
    assert node.scheduler.mode is Mode.ESTOP
    assert "ESTOP is latched" in node.perform(events.ModeSet(Mode.POLICY))


def test_the_arms_are_seen_to_rest_when_the_scheduler_fails_in_every_step(active, monkeypatch):
    node, followed = active(), []

    def fail(*_):
        raise RuntimeError("out of its mind")

    monkeypatch.setattr(node.scheduler, "step", fail)
    monkeypatch.setattr(node._outputs, "run_out", lambda: followed.append(True))
    node.trigger_deactivate()
    assert followed and not node.is_active and "out of its mind" in node.fault
