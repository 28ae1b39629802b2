"""The node over DDS: chunks to trajectories, orders, repetitions, and what it refuses to be configured with."""

import sys

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from trajectory_msgs.msg import JointTrajectory

from clwm_common.actions import JOINTS
from clwm_common.messages import Mode
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_common.ros.diagnostics import Level
from clwm_common.ros.lifecycle import NodeError
from clwm_msgs.msg import ChunkRequest
from clwm_msgs.srv import SetMode, SetTask
from clwm_sai_executor.node import ExecutorNode

from .executor_bench import DOCUMENT

pytestmark = pytest.mark.usefixtures("ros_context")


def test_chunk_becomes_a_trajectory_for_each_arm_and_deactivation_stops_them(bench):
    before = bench.executor_node.scheduler.task_epoch
    assert bench.call(bench.set_task, SetTask.Request(instruction="lift the tray")).task_epoch == before + 1
    request = bench.request()
    bench.answer(request)
    bench.wait_for(lambda: bench.received["left"] and bench.received["right"])
    for side, offset in (("left", 14), ("right", 21)):
        message = bench.received[side][0]
        assert message.joint_names == getattr(bench._robot, side).joint_names
        np.testing.assert_allclose(
            message.points[1].positions, request.committed_prefix[0, offset : offset + 7], atol=1e-6
        )
        assert not any(message.points[-1].velocities) and any(message.points[8].velocities)
    following = bench.request(2)
    assert len(following.committed_prefix) == 4 and following.committed_prefix[0, JOINTS].shape == (14,)
    bench.executor_node.trigger_deactivate()
    bench.wait_for(lambda: any(m.kind == ChunkRequest.CANCEL for m in bench.received["request"]))
    assert bench.wait_for(lambda: bench.status().get("mode") == "HOLD" and not bench.status()["is_active"])
    braking = bench.wait_for(lambda: [m for m in bench.received["left"] if len(m.points) < len(message.points)])
    bench.wait_for(lambda: [m for m in bench.received["left"] if m == braking[0]][2:])  # repeated before the node ends


def test_path_is_sent_again_as_it_was_to_a_controller_that_listens_best_effort(bench):
    heard = []
    topic = bench._robot.left.controller.topic
    bench.node.create_subscription(JointTrajectory, topic, heard.append, qos.CONTROLLER)
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.answer(bench.request())
    first = bench.wait_for(lambda: heard[:1])[0]
    bench.wait_for(lambda: heard.count(first) >= 4)
    bench.wait_for(lambda: bench.status().get("mode") == "HOLD")  # the arms do not follow: another path
    assert heard.count(first) <= 10


def test_nothing_of_a_path_is_sent_again_after_the_world_was_reset(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.episode(1)
    bench.answer(bench.request())
    first = bench.wait_for(lambda: bench.received["left"][:1])[0]
    for timer in bench.node.timers:
        timer.cancel()  # no joint states, or the executor would hold the arms by a newer message
    bench.episode(2)
    bench.wait_for(lambda: bench.executor_node.scheduler.path is None)
    arrived_by = bench.executor_node.now() + 0.1
    bench.wait_for(lambda: bench.executor_node.now() > arrived_by)
    sent = len(bench.received["left"])
    bench.wait_for(lambda: bench.executor_node.now() > from_stamp(first.header.stamp) + 1.0)
    assert len(bench.received["left"]) == sent


def test_poses_without_the_packages_they_need_refuse_to_configure_and_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "mink", None)
    monkeypatch.delitem(sys.modules, "clwm_sai_executor.path.inverse_kinematics", raising=False)
    node = ExecutorNode(parameter_overrides=[Parameter("follow", value="poses")])
    with pytest.raises(NodeError, match="follow is 'poses', which needs mink"):
        node.configure()
    node.destroy_node()


def test_orders_that_make_no_sense_are_refused_with_a_reason(bench):
    empty = bench.call(bench.set_task, SetTask.Request(instruction=" "))
    assert not empty.accepted and "instruction is empty" in empty.message
    odd = bench.call(bench.set_task, SetTask.Request(instruction="go", memory_policy=9))
    assert not odd.accepted and "memory_policy is 9" in odd.message
    teleop = bench.call(bench.set_mode, SetMode.Request(mode=SetMode.Request.TELEOP))
    assert not teleop.accepted and "no teleoperation source" in teleop.message
    assert teleop.mode == Mode.POLICY
    unknown = bench.call(bench.set_mode, SetMode.Request(mode=7))
    assert not unknown.accepted and "mode is 7" in unknown.message


def test_human_gets_the_arms_over_the_wire_and_loses_them_by_letting_go(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    assert bench.wait_for(lambda: bench.mode() == (Mode.POLICY, "policy"))
    timer = bench.node.create_timer(0.02, bench.ask)
    bench.wait_for(lambda: bench.executor_node.scheduler.arbitration.holder == "leader")
    answer = bench.call(bench.set_mode, SetMode.Request(mode=SetMode.Request.TELEOP))
    assert answer.accepted and answer.mode == Mode.TELEOP
    assert bench.wait_for(lambda: bench.mode() == (Mode.TELEOP, "leader"))
    moved = bench._robot.home[:7] + 0.05
    bench.wait_for(lambda: any(np.allclose(m.points[-1].positions, moved, atol=1e-3) for m in bench.received["left"]))
    bench.node.destroy_timer(timer)
    bench.ask(dead_man=False)
    assert bench.wait_for(lambda: bench.mode() == (Mode.HOLD, ""))
    assert "let go" in bench.received["mode"][-1].reason
    assert bench.executor_node.diagnose().values["mode"] == "HOLD"


def test_another_process_that_may_command_an_arm_is_an_error_that_names_it_and_the_own_name_hides_nobody(bench):
    health = bench.executor_node.diagnose()
    assert health.level < Level.ERROR and "may send to" not in health.message
    context = Context()
    rclpy.init(context=context)
    other = rclpy.create_node("executor", context=context, namespace="/moveit")
    topic = bench._robot.left.controller.topic
    other.create_publisher(JointTrajectory, topic, qos.SETPOINT)
    fight = f"node '/moveit/executor' may send to {topic}, too"
    bench.wait_for(lambda: fight in bench.executor_node.diagnose().message)
    health = bench.executor_node.diagnose()
    assert health.level is Level.ERROR and "two commanders" in health.message
    other.destroy_node()
    context.try_shutdown()
    bench.wait_for(lambda: "may send" not in bench.executor_node.diagnose().message)


def test_command_of_another_release_claims_nothing(bench):
    timer = bench.node.create_timer(0.02, lambda: bench.ask(layout_version=9))
    bench.wait_for(lambda: "cannot be read" in bench.executor_node.diagnose().message)
    bench.node.destroy_timer(timer)
    assert not bench.call(bench.set_mode, SetMode.Request(mode=SetMode.Request.TELEOP)).accepted


def test_chunk_for_another_layout_latches_hold_and_moves_nothing(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.answer(bench.request(), layout_version=2)
    bench.wait_for(lambda: bench.status().get("mode") == "HOLD")
    assert "layout version 2" in bench.status()["fault"]
    assert bench.executor_node.diagnose().level == 2
    assert bench.received["left"] == []
    assert bench.call(bench.set_mode, SetMode.Request(mode=SetMode.Request.POLICY)).accepted
    bench.request(2)


def test_world_that_starts_anew_begins_an_epoch_with_a_fresh_memory(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    first = bench.request()
    bench.episode(3)
    bench.episode(4)
    request = bench.request(2)
    assert request.task_epoch == first.task_epoch + 1 and request.memory_policy == 1


def test_an_executor_that_is_started_again_does_not_repeat_the_epochs_of_the_one_before(bench):
    first = bench.executor_node.scheduler.task_epoch
    bench.executor_node.trigger_deactivate()
    bench.executor_node.trigger_cleanup()
    bench.executor_node.trigger_configure()
    assert bench.executor_node.scheduler.task_epoch != first


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"execution_horizon": 8}, "execution_horizon is 8; the policy was trained for 12 or 16: set it so"),
        ({"adapt_pace": True}, "execution_horizon_min is 10; the policy was trained for 12 or 16"),
        ({"policy_document": "/nowhere/policy.json"}, "/nowhere/policy.json cannot be read"),
    ],
)
@pytest.mark.usefixtures("ros_context")
def test_a_horizon_that_the_policy_does_not_know_refuses_the_configuration(settings, said):
    settings = {"policy_document": DOCUMENT, **settings}
    node = ExecutorNode(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert said in node.fault
    node.destroy_node()


def test_a_horizon_that_nobody_vouches_for_is_warned_about_until_the_document_is_given(bench):
    health = bench.executor_node.diagnose()
    assert health.level == 1 and "execution_horizon is unchecked: set 'policy_document'" in health.message
    node = bench.executor_node
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.params.policy_document = DOCUMENT
    node.trigger_configure()
    assert "unchecked" not in node.diagnose().message
