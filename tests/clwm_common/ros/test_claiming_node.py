"""Nodes with a role over real DDS: a second one opens nothing and is told who the first is, wherever it runs."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import Float64

from clwm_common.ros import claiming, qos
from clwm_common.ros.claiming import ClaimListener, publishers_of
from clwm_common.ros.diagnostics import Level, from_status
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import ClwmNode

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ARM = "/left/joint_trajectory"


class Holder(ClwmNode):
    ROLE = "executor"

    def __init__(self, name, context, arm=ARM):
        self.arm, self.was_configured = arm, False
        super().__init__(name, context=context)

    def sole_names(self):
        return (self.arm,)

    def configure(self):
        self.was_configured = True
        self.create_publisher(Float64, self.arm, qos.SETPOINT)


class Hosts:
    """Contexts have participants of their own: to DDS, nodes in two of them are as far apart as two processes."""

    def __init__(self):
        self._contexts, self._executors, self.nodes = [], [], []

    def add(self, create):
        context = Context()
        rclpy.init(context=context)
        node, executor = create(context), StaticSingleThreadedExecutor(context=context)
        executor.add_node(node)
        self._contexts.append(context)
        self._executors.append(executor)
        self.nodes.append(node)
        return node

    def spin_until(self, condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            for executor in self._executors:
                executor.spin_once(timeout_sec=0.01)

    def close(self):
        for executor, node in zip(self._executors, self.nodes, strict=True):
            executor.shutdown(timeout_sec=1.0)
            node.destroy_node()
        for context in self._contexts:
            context.try_shutdown()


@pytest.fixture
def hosts(monkeypatch):
    monkeypatch.setattr(claiming, "LISTEN", 2.0)
    hosts = Hosts()
    yield hosts
    hosts.close()


def test_a_second_node_of_a_role_opens_nothing_and_names_the_first_which_goes_on_and_says_so(hosts):
    first, heard = hosts.add(lambda context: Holder("first", context)), []
    first.trigger_configure()
    first.trigger_activate()
    watcher = hosts.add(lambda context: rclpy.create_node("watcher", context=context))
    watcher.create_subscription(DiagnosticArray, "/diagnostics", lambda it: heard.extend(it.status), qos.REPORT)
    second = hosts.add(lambda context: Holder("second", context))
    assert second.trigger_configure() == FAILURE and not second.was_configured
    for part in (
        "another executor has " + ARM,
        "node '/first'",
        f"process {os.getpid()}",
        "end that one",
        "ROS_DOMAIN",
    ):
        assert part in second.fault
    told = "another executor was refused: node '/second'"
    hosts.spin_until(lambda: any(it.name == "first" and told in it.message for it in heard))
    health = from_status(next(it for it in heard if it.name == "first" and told in it.message))
    assert health.level is Level.WARN and health.is_active and first.is_active and first.fault == ""
    first.trigger_shutdown()
    assert second.trigger_configure() == SUCCESS, second.fault


def test_nodes_of_other_arms_or_without_a_role_do_not_meet(hosts):
    class Relay(Holder):
        ROLE = ""

    for name, kind, arm in (("one", Holder, ARM), ("two", Holder, "/right/joint_trajectory"), ("three", Relay, ARM)):
        node = hosts.add(lambda context, kind=kind, name=name, arm=arm: kind(name, context, arm))
        assert node.trigger_configure() == SUCCESS, node.fault


def test_of_two_that_could_not_hear_each_other_the_later_one_stops_and_closes(hosts, monkeypatch):
    first = hosts.add(lambda context: Holder("first", context))
    assert first.trigger_configure() == SUCCESS
    monkeypatch.setattr(claiming, "LISTEN", 0.0)
    second = hosts.add(lambda context: Holder("second", context))
    second.role._take = lambda: None  # what was told while discovery lasted
    assert second.trigger_configure() == SUCCESS and second.trigger_activate() == SUCCESS
    hosts.spin_until(lambda: second.fault)
    assert second.fault.startswith("stopped: another executor has") and not second.is_active
    assert second.role.claim.stage == 0 and first.role.claim.stage == 2
    hosts.spin_until(lambda: ARM not in [name for name, _ in own_publishers(second)])


def own_publishers(node):
    return node.get_publisher_names_and_types_by_node(node.get_name(), "/")


def test_who_was_killed_does_not_keep_the_next_one_waiting(hosts):
    code = """
        import rclpy
        from clwm_common.ros.lifecycle import ClwmNode, run
        class Holder(ClwmNode):
            ROLE = "executor"
            def __init__(self): super().__init__("killed")
            def sole_names(self): return ("/left/joint_trajectory",)
            def activate(self): print("active", flush=True)
        run(Holder)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "active\n"
    node = hosts.add(lambda context: Holder("next", context))
    assert node.trigger_configure() == FAILURE and f"process {process.pid}" in node.fault
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = time.monotonic()
    while node.trigger_configure() != SUCCESS:
        assert time.monotonic() - killed_at < claiming.LEASE + claiming.LISTEN + 1.0, node.fault
    process.stdout.close()


def test_publishers_are_told_apart_by_process_also_when_their_nodes_have_one_name(hosts):
    ours = hosts.add(lambda context: Holder("executor", context))
    ours.trigger_configure()
    theirs = hosts.add(lambda context: rclpy.create_node("executor", context=context))
    theirs.create_publisher(Float64, ARM, qos.SETPOINT)
    # A name becomes known a little later than what has it.
    hosts.spin_until(lambda: [it.node for it in publishers_of(ours, ARM)] == ["/executor", "/executor"])
    found = publishers_of(ours, ARM)
    assert sum(it.participant == ours.role.participant for it in found) == 1


def test_a_listener_knows_the_living_holders_and_forgets_the_silent(hosts, monkeypatch):
    watcher = hosts.add(lambda context: rclpy.create_node("watcher", context=context))
    claims = ClaimListener(watcher)
    holder = hosts.add(lambda context: Holder("first", context))
    holder.trigger_configure()
    hosts.spin_until(lambda: claims.holders("executor"))
    assert claims.holders("executor")[0].participant == holder.role.participant and not claims.holders("policy")
    monkeypatch.setattr(claiming, "LEASE", 0.0)
    assert not claims.holders("executor")
