"""The node base: no exception is lost, refusals are explained, what was created is gone after clean-up."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.serialization import serialize_message
from rclpy.task import Future
from std_msgs.msg import Float64

from clwm_common.ros.diagnostics import Health, Level, from_status, to_status
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import ClwmNode, NodeError
from clwm_common.ros.parameters import Parameter, ParameterError
from clwm_common.ros.signals import SAME_CTRL_C
from clwm_msgs.srv import SetTask

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


pytestmark = pytest.mark.usefixtures("ros_context")


class Probe(ClwmNode):
    """Records its hooks; raises in the hook or callback it is told to."""

    PARAMETERS = (
        Parameter("rate", 20.0, "frames a second", unit="Hz", minimum=1.0, maximum=100.0),
        Parameter("backend", "onnx", "what runs the encoder", choices=("onnx", "torch")),
        Parameter("label", "first", "what is read again by every configuration", reconfigurable=True),
    )

    def __init__(self, breaks="", error=None, **kwargs):
        super().__init__("probe", **kwargs)
        self.breaks, self.error, self.calls = breaks, error or NodeError("the model is missing; run make train"), []

    def _hook(self, name):
        self.calls.append(name)
        if self.breaks == name:
            raise self.error

    def configure(self):
        self.create_subscription(Float64, "/probe/value", lambda message: self._hook("value"), 1)
        self.create_service(SetTask, "/probe/set_task", lambda request, response: self._hook("service"))
        self._hook("configure")

    def activate(self):
        self._hook("activate")

    def deactivate(self):
        self._hook("deactivate")

    def cleanup(self):
        self._hook("cleanup")


@pytest.fixture
def make():
    nodes = []

    def build(*args, **kwargs):
        nodes.append(Probe(*args, **kwargs))
        return nodes[-1]

    yield build
    for node in nodes:
        node.destroy_node()


def entities(node):
    return [s.topic for s in node.subscriptions if s.topic.startswith("/probe/value")]


def test_hooks_run_in_the_order_of_the_transitions(make):
    node = make()
    for trigger in (node.trigger_configure, node.trigger_activate, node.trigger_deactivate, node.trigger_cleanup):
        assert trigger() == SUCCESS
    assert node.calls == ["configure", "activate", "deactivate", "cleanup"]


def test_a_refused_configuration_says_why_and_leaves_nothing_behind(make):
    node = make("configure")
    assert node.trigger_configure() == FAILURE
    assert node.fault == "configure refused: the model is missing; run make train"
    assert entities(node) == [] and node.calls[-1] == "cleanup"


def test_a_refused_configuration_can_be_tried_again(make):
    node = make("configure")
    node.trigger_configure()
    node.breaks = ""
    assert node.trigger_configure() == SUCCESS and node.fault == ""


def test_a_defect_in_a_hook_names_its_place(make):
    node = make("activate", ZeroDivisionError("division by zero"))
    node.trigger_configure()
    assert node.trigger_activate() == FAILURE
    assert "ZeroDivisionError at test_ros_lifecycle.py:" in node.fault and not node.is_active


def test_clean_up_destroys_what_configure_created(make):
    node = make()
    node.trigger_configure()
    assert entities(node) == ["/probe/value"]
    node.trigger_cleanup()
    assert entities(node) == []


def test_a_callback_that_raises_deactivates_the_node_and_is_latched(make):
    node = make("value", RuntimeError("lost"))
    node.trigger_configure()
    node.trigger_activate()
    next(s for s in node.subscriptions if s.topic == "/probe/value").callback(bytes(serialize_message(Float64())))
    assert node.calls[-1] == "deactivate" and not node.is_active
    assert "RuntimeError" in node.fault and "lost" in node.fault


def test_a_service_whose_callback_raises_still_answers(make):
    node = make("service", RuntimeError("lost"))
    node.trigger_configure()
    service = next(s for s in node.services if s.srv_name == "/probe/set_task")
    response = service.callback(SetTask.Request(), SetTask.Response(accepted=True))
    assert response.accepted is False and "lost" in response.message


def test_a_service_whose_callback_raises_after_it_waited_answers_as_well(make):
    node = make()
    node.trigger_configure()
    gate = Future()

    async def serve(request, response):
        await gate
        raise RuntimeError("lost")

    service = node.create_service(SetTask, "/probe/wait", serve)
    answer = service.callback(SetTask.Request(), SetTask.Response(accepted=True))
    assert answer.send(None) is None and not node.fault
    gate.set_result(None)
    with pytest.raises(StopIteration) as ended:
        answer.send(None)
    assert ended.value.value.accepted is False and "lost" in node.fault


def test_a_failing_deactivation_ends_unconfigured_with_the_entities_destroyed(make):
    node = make("deactivate")
    node.trigger_configure()
    node.trigger_activate()
    assert node.trigger_deactivate() == ERROR
    assert entities(node) == [] and not node.is_active
    node.breaks = ""
    assert node.trigger_configure() == SUCCESS


def test_an_impossible_transition_by_service_is_refused_and_the_node_lives(make):
    from lifecycle_msgs.srv import ChangeState

    node = make()
    request = ChangeState.Request()
    request.transition.id = 3  # activate, while unconfigured
    assert node._service_change_state.callback(request, ChangeState.Response()).success is False
    assert node.trigger_configure() == SUCCESS


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rate", 1000.0, r"'rate' .* out of range; expected 1.0 to 100.0 Hz"),
        ("rate", "fast", r"'rate' .* expected float"),
        ("backend", "tpu", r"'backend' .* is 'tpu'; expected one of onnx, torch"),
    ],
)
def test_a_wrong_parameter_is_refused_in_words(make, name, value, reason):
    with pytest.raises(ParameterError, match=reason):
        make(parameter_overrides=[RosParameter(name, value=value)])


def test_a_reconfigurable_parameter_holds_from_the_next_configuration_on(make):
    node = make()
    assert node.set_parameters([RosParameter("label", value="second")])[0].successful
    assert node.params.label == "first"
    node.trigger_configure()
    assert node.params.label == "second"


def test_a_reconfigurable_parameter_cannot_be_set_under_a_configured_node(make):
    node = make()
    node.trigger_configure()
    refused = node.set_parameters([RosParameter("label", value="second")])[0]
    assert not refused.successful and "label is read when the node is configured" in refused.reason
    node.trigger_cleanup()
    assert node.set_parameters([RosParameter("label", value="second")])[0].successful


def test_parameters_are_read_only_once_declared(make):
    node = make(parameter_overrides=[RosParameter("rate", value=50.0)])
    assert node.params.rate == 50.0
    assert not node.set_parameters([RosParameter("rate", value=10.0)])[0].successful


def test_a_node_says_whether_it_works_apart_from_how_well():
    probe, said = Probe(), []
    probe._diagnostics.publish = lambda array: said.append(from_status(array.status[0]))
    probe._report_health()
    probe.trigger_configure()
    probe.trigger_activate()
    probe.diagnose = lambda: Health(Level.ERROR, "blind")
    probe._report_health()
    probe.fail("stopped")
    assert [(health.level, health.is_active) for health in said] == [
        (Level.WARN, False),
        (Level.ERROR, True),
        (Level.ERROR, False),
    ]


def test_health_survives_the_way_through_diagnostics():
    status = to_status("policy", Health(Level.WARN, "late", {"chunks": 3, "error": 0.123456}))
    assert from_status(status) == Health(Level.WARN, "late", {"chunks": "3", "error": "0.1235"})


def test_a_defect_latched_in_one_node_does_not_stop_the_executor(make):
    node = make("value", RuntimeError("lost"))
    node.trigger_configure()
    executor = StaticSingleThreadedExecutor()
    executor.add_node(node)
    caller = rclpy.create_node("caller")
    publisher = caller.create_publisher(Float64, "/probe/value", 1)
    deadline = node.now() + 5.0
    while not node.fault and node.now() < deadline:
        publisher.publish(Float64())
        executor.spin_once(timeout_sec=0.05)
    caller.destroy_node()
    executor.shutdown()
    assert "lost" in node.fault


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_deactivates_cleans_up_and_exits_with_zero(number):
    code = f"""
        import signal, sys
        signal.signal({int(number)}, signal.SIG_DFL)  # nohup's children ignore SIGHUP, background jobs SIGINT
        from clwm_common.ros.lifecycle import ClwmNode, run
        class Quiet(ClwmNode):
            def __init__(self): super().__init__("quiet")
            def activate(self): print("active", flush=True)
            def deactivate(self): print("deactivated", flush=True)
            def cleanup(self): print("cleaned", flush=True)
        sys.exit(run(Quiet))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout.readline() == "active\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "deactivated\ncleaned\n"), err


NEEDED = """
    import sys, time
    from clwm_common.ros.lifecycle import ClwmNode, run
    class Needed(ClwmNode):
        def __init__(self):
            super().__init__("needed")
            self.asked = 0
        def activate(self): print("active", flush=True)
        def is_needed(self):
            self.asked += 1
            print("asked", flush=True)
            return self.asked < {times}
        def deactivate(self): print("deactivated", flush=True)
    sys.exit(run(Needed))
"""


def needed(times):
    code = textwrap.dedent(NEEDED.replace("{times}", times))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "active\n"
    return process


def test_a_node_that_is_needed_goes_on_for_a_while_after_it_was_asked_to_end():
    process = needed("4")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "asked\n" * 4 + "deactivated\n"
    assert process.returncode == 0


def test_one_ctrl_c_that_comes_twice_is_one_and_a_later_one_ends_the_node_at_once():
    process = needed("1000")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    assert [process.stdout.readline() for _ in range(2)] == ["asked\n"] * 2
    time.sleep(SAME_CTRL_C)
    process.send_signal(signal.SIGINT)
    assert "deactivated" not in process.communicate(timeout=30)[0]
    assert process.returncode == 130


def test_a_signal_breaks_into_a_long_configuration():
    code = """
        import sys, time
        from clwm_common.ros.lifecycle import ClwmNode, run
        class Slow(ClwmNode):
            def __init__(self): super().__init__("slow")
            def configure(self):
                print("configuring", flush=True)
                time.sleep(60.0)
            def activate(self): print("active", flush=True)
            def cleanup(self): print("cleaned", flush=True)
        sys.exit(run(Slow))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "configuring\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "cleaned\n")


def test_wrong_parameters_end_the_process_with_two_and_one_sentence():
    code = """
        import sys
        from clwm_common.ros.lifecycle import ClwmNode, run
        from clwm_common.ros.parameters import Parameter
        class Strict(ClwmNode):
            PARAMETERS = (Parameter("rate", 1.0, "rate", maximum=2.0),)
            def __init__(self): super().__init__("strict")
        sys.exit(run(Strict, ["--ros-args", "-p", "rate:=3.0"]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "expected at most 2.0" in done.stderr and "Traceback" not in done.stderr


def test_node_that_waits_for_a_clock_says_so_though_its_timers_stand_still(make):
    heard, node = [], make(parameter_overrides=[RosParameter("use_sim_time", value=True)])
    listener = rclpy.create_node("listener")
    listener.create_subscription(DiagnosticArray, "/diagnostics", lambda array: heard.extend(array.status), 10)
    spinner = StaticSingleThreadedExecutor()
    for each in (node, listener):
        spinner.add_node(each)
    until = time.monotonic() + 20.0
    while not any("no /clock has come for" in status.message for status in heard):
        assert time.monotonic() < until, [status.message for status in heard]
        spinner.spin_once(timeout_sec=0.1)
    health = from_status(heard[-1])
    assert health.level is Level.ERROR and "unset use_sim_time" in health.message
    assert float(health.values["not_ok_for_s"]) >= 2.0 and health.told.endswith("s)")
    spinner.shutdown(timeout_sec=1.0)
    listener.destroy_node()


def test_a_node_says_the_same_at_most_once_a_second_and_counts_the_rest(capfd):
    node = ClwmNode("flooded")
    for number in range(212):
        node.log("warning", f"command {number} refused")
        node.get_logger().error(f"no joint {number}")
    said = capfd.readouterr().err.splitlines()
    assert [line.split("]: ")[1] for line in said] == ["command 0 refused", "no joint 0"]
    time.sleep(1.0)
    node._report_health()
    said = [line.split("]: ")[1] for line in capfd.readouterr().err.splitlines()]
    assert said == ["command 211 refused (repeated 211 times)", "no joint 211 (repeated 211 times)"]
    node.destroy_node()
