"""The executor of all nodes: it serves what is ready, learns of every change, and lets go when it is shut down."""

import threading
import time

import pytest
import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_msgs.msg import Float64

from clwm_common.ros.executor import StaticSingleThreadedExecutor, shortest_period
from clwm_msgs.action import RunTask
from clwm_msgs.srv import SetMode

PATIENCE = 5.0  # s


@pytest.fixture
def context():
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture
def executor(context):
    executor = StaticSingleThreadedExecutor(context=context)
    yield executor
    executor.shutdown(timeout_sec=1.0)


@pytest.fixture
def node(context, executor):
    node = rclpy.create_node("served", context=context)
    executor.add_node(node)
    yield node
    executor.shutdown(timeout_sec=1.0)
    node.destroy_node()


def spin_until(executor, condition, also=lambda: None):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        also()
        executor.spin_once(timeout_sec=0.02)


def test_every_message_reaches_its_subscription_in_order(executor, node):
    heard = []
    node.create_subscription(Float64, "/numbers", lambda message: heard.append(message.data), 10)
    numbers = node.create_publisher(Float64, "/numbers", 10)
    spin_until(executor, lambda: numbers.get_subscription_count() == 1)
    for number in range(10):
        numbers.publish(Float64(data=float(number)))
    spin_until(executor, lambda: len(heard) == 10)
    assert heard == list(range(10))


def test_subscription_with_a_shortest_period_is_served_no_oftener_and_gets_the_newest(executor, node):
    heard = []
    fast = node.create_subscription(Float64, "/fast", lambda message: heard.append(message.data), 1)
    shortest_period(fast, 0.05)
    numbers = node.create_publisher(Float64, "/fast", 1)
    spin_until(executor, lambda: numbers.get_subscription_count() == 1)
    began, sent = time.monotonic(), 0
    while time.monotonic() < began + 0.5:
        sent += 1
        numbers.publish(Float64(data=float(sent)))
        executor.spin_once(timeout_sec=0.001)
    assert sent > 100 and 2 <= len(heard) <= 11
    spin_until(executor, lambda: heard[-1] == sent)


def test_each_shortest_period_holds_for_its_own_subscriptions_beside_shorter_ones(executor, node):
    heard, publishers = {0.02: 0, 0.2: 0, 60.0: 0}, []
    for period in heard:
        topic = f"/each_{round(1000 * period)}_ms"
        on_message = lambda _, period=period: heard.update({period: heard[period] + 1})  # noqa: E731
        shortest_period(node.create_subscription(Float64, topic, on_message, 1), period)
        publishers.append(node.create_publisher(Float64, topic, 1))
    spin_until(executor, lambda: all(publisher.get_subscription_count() == 1 for publisher in publishers))
    began = time.monotonic()
    spin_until(executor, lambda: heard[0.2] == 3, lambda: [publisher.publish(Float64()) for publisher in publishers])
    assert time.monotonic() - began >= 2 * 0.2
    assert heard[60.0] == 1 and heard[0.02] > 1


def test_callback_that_wants_the_message_info_gets_it(executor, node):
    heard = []
    node.create_subscription(Float64, "/numbers", lambda message, info: heard.append(info["source_timestamp"]), 10)
    numbers = node.create_publisher(Float64, "/numbers", 10)
    spin_until(executor, lambda: heard, lambda: numbers.publish(Float64()))
    assert heard[0] > 0


def test_what_a_callback_creates_is_served(executor, node):
    fired = []
    first = node.create_timer(0.01, lambda: (first.cancel(), node.create_timer(0.01, lambda: fired.append(1))))
    spin_until(executor, lambda: fired)


def test_what_another_thread_creates_is_served_at_once_even_in_a_wait_without_end(executor, node):
    served = threading.Event()
    timer = threading.Timer(0.1, lambda: node.create_timer(0.0, served.set))
    timer.start()
    while not served.is_set():
        executor.spin_once()
    timer.join()


def test_timer_destroyed_by_a_callback_before_it_is_not_called(executor, node):
    calls = []

    def destroy_the_others():
        calls.append("first")
        for timer in list(node.timers):
            node.destroy_timer(timer)

    for _ in range(3):
        node.create_timer(0.0, destroy_the_others)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.01)
    assert calls == ["first"]


def test_timer_cancelled_by_a_callback_before_it_is_not_called(executor, node):
    calls = []

    def cancel_all():
        calls.append("first")
        for timer in node.timers:
            timer.cancel()

    for _ in range(3):
        node.create_timer(0.0, cancel_all)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.01)
    assert calls == ["first"]


def test_destroyed_subscription_hears_no_more_and_its_handle_is_freed(executor, node):
    subscription = node.create_subscription(Float64, "/numbers", lambda message: None, 10)
    numbers = node.create_publisher(Float64, "/numbers", 10)
    spin_until(executor, lambda: numbers.get_subscription_count() == 1)
    node.destroy_subscription(subscription)
    spin_until(executor, lambda: numbers.get_subscription_count() == 0)


def test_task_of_another_thread_runs_in_the_spinning_one(executor, node):
    task = []
    threading.Timer(0.05, lambda: task.append(executor.create_task(threading.current_thread))).start()
    spin_until(executor, lambda: task and task[0].done())
    assert task[0].result() is threading.main_thread()


def test_task_that_raises_raises_from_the_spin_and_only_once(executor, node):
    executor.create_task(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        executor.spin_once(timeout_sec=0.01)
    executor.spin_once(timeout_sec=0.01)


def test_callback_that_raises_raises_from_the_spin_and_the_others_are_served_after_it(executor, node):
    fired = []
    broken = node.create_timer(0.0, lambda: (broken.cancel(), 1 / 0))
    node.create_timer(0.0, lambda: fired.append(1))
    with pytest.raises(ZeroDivisionError):
        executor.spin_once(timeout_sec=1.0)
    spin_until(executor, lambda: fired)


def test_async_callback_keeps_only_its_own_group_waiting(executor, node):
    gate, calls = Future(), []

    async def wait_for_the_gate():
        waiting.cancel()
        calls.append("began")
        await gate
        calls.append("ended")

    waiting = node.create_timer(0.0, wait_for_the_gate)
    node.create_timer(0.0, lambda: calls.append("same group"))
    node.create_timer(0.0, lambda: calls.append("other"), callback_group=MutuallyExclusiveCallbackGroup())
    spin_until(executor, lambda: calls.count("other") >= 3)
    assert calls[0] == "began" and "same group" not in calls
    gate.set_result(None)
    spin_until(executor, lambda: "same group" in calls)
    assert "ended" in calls


def test_a_service_that_is_destroyed_while_its_answer_waits_harms_nobody(executor, node):
    gate, calls = Future(), []

    async def serve(request, response):
        calls.append("asked")
        await gate
        calls.append("done")
        return response

    service = node.create_service(SetMode, "/set_mode", serve, callback_group=MutuallyExclusiveCallbackGroup())
    client = node.create_client(SetMode, "/set_mode")
    spin_until(executor, client.service_is_ready)
    client.call_async(SetMode.Request())
    spin_until(executor, lambda: calls)
    node.destroy_service(service)
    executor.spin_once(timeout_sec=0.01)
    gate.set_result(None)
    spin_until(executor, lambda: "done" in calls)
    executor.spin_once(timeout_sec=0.01)


def test_service_and_client_answer_each_other(executor, node):
    def serve(request, response):
        response.mode = request.mode
        return response

    node.create_service(SetMode, "/set_mode", serve)
    client = node.create_client(SetMode, "/set_mode")
    spin_until(executor, client.service_is_ready)
    answer = client.call_async(SetMode.Request(mode=3))
    executor.spin_until_future_complete(answer, timeout_sec=PATIENCE)
    assert answer.result().mode == 3


def test_action_runs_through_to_its_result(executor, node):
    def execute(handle):
        handle.succeed()
        return RunTask.Result(message="done")

    server = ActionServer(node, RunTask, "/run", execute)
    client = ActionClient(node, RunTask, "/run")
    spin_until(executor, client.server_is_ready)
    goal = client.send_goal_async(RunTask.Goal(instruction="go"))
    executor.spin_until_future_complete(goal, timeout_sec=PATIENCE)
    result = goal.result().get_result_async()
    executor.spin_until_future_complete(result, timeout_sec=PATIENCE)
    assert result.result().result.message == "done"
    client.destroy()
    server.destroy()
    executor.spin_once(timeout_sec=0.01)


def test_guard_condition_is_served_once_for_each_trigger(executor, node):
    calls = []
    guard = node.create_guard_condition(lambda: calls.append(1))
    guard.trigger()
    spin_until(executor, lambda: calls)
    for _ in range(3):
        executor.spin_once(timeout_sec=0.01)
    assert calls == [1]


def test_guard_condition_is_not_lost_when_a_callback_before_it_changes_the_entities(executor, node):
    calls = []
    guard = node.create_guard_condition(lambda: calls.append(1))
    timer = node.create_timer(0.0, lambda: (timer.cancel(), node.create_publisher(Float64, "/numbers", 1)))
    guard.trigger()
    spin_until(executor, lambda: calls)


def test_qos_events_are_told(executor, node):
    told = []
    node.create_subscription(
        Float64,
        "/numbers",
        lambda message: None,
        QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=told.append),
    )
    node.create_publisher(Float64, "/numbers", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    spin_until(executor, lambda: told)


def test_wait_ends_with_its_time(executor, node):
    began = time.monotonic()
    for _ in range(3):
        executor.spin_once(timeout_sec=0.05)
    executor.spin_once(timeout_sec=0.0)
    assert time.monotonic() - began < 2.0


def test_shut_down_by_a_callback_serves_nothing_more(executor, node):
    calls = []

    def shut_down():
        calls.append(1)
        executor.shutdown()

    for _ in range(3):
        node.create_timer(0.0, shut_down)
    for _ in range(3):
        executor.spin_once(timeout_sec=0.01)
    assert calls == [1]


def test_shut_down_by_another_thread_ends_a_wait_without_end(executor, node):
    threading.Timer(0.1, executor.shutdown).start()
    executor.spin()


def test_shutdown_says_when_a_callback_runs_on(executor, node):
    ends, runs = threading.Event(), threading.Event()
    node.create_timer(0.0, lambda: (runs.set(), ends.wait(PATIENCE)))
    spinning = threading.Thread(target=executor.spin_once)
    spinning.start()
    assert runs.wait(PATIENCE)
    assert executor.shutdown(timeout_sec=0.05) is False
    ends.set()
    spinning.join()
    assert executor.shutdown(timeout_sec=PATIENCE) is True


def test_end_of_ros_ends_a_wait_and_is_told(executor, node, context):
    threading.Timer(0.1, lambda: rclpy.shutdown(context=context)).start()
    with pytest.raises(ExternalShutdownException):
        while True:
            executor.spin_once()


def test_end_of_ros_of_which_nobody_is_told_is_found_by_the_next_wake_up(executor, node, context):
    executor.spin_once(timeout_sec=0.01)
    with context.handle:
        context.handle.shutdown()  # as rclpy's own signal handler does
    with pytest.raises(ExternalShutdownException):
        executor.spin_once(timeout_sec=0.01)


def test_node_that_is_removed_is_served_no_more(executor, node):
    calls = []
    node.create_timer(0.0, lambda: calls.append(1))
    spin_until(executor, lambda: calls)
    executor.remove_node(node)
    before = len(calls)
    executor.spin_once(timeout_sec=0.01)
    executor.spin_once(timeout_sec=0.01)
    assert len(calls) == before
