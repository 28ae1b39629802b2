"""The node in one process with a bench that plays arms, world and policy over DDS."""

import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from clwm_common.actions import JOINTS
from clwm_common.files.model_files import ModelFiles
from clwm_common.messages import ChunkRefusal, Judgement, Mode, RefusalKind, TeleopCommand, Verdict
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, from_stamp, to_msg, to_stamp
from clwm_common.ros.diagnostics import Level
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import NodeError
from clwm_msgs import msg
from clwm_msgs.action import RunTask
from clwm_msgs.msg import ActionChunk, ChunkRequest, DualArmState, EpisodeStatus, ModeStatus, TaskStatus
from clwm_msgs.srv import CheckTask, SetMode, SetTask
from clwm_sai_executor.node import ExecutorNode

DOCUMENT = str(ModelFiles.load("nano").policy.with_suffix(".json"))
PATIENCE = 30.0  # s until a test gives up; each needs well below one on a machine with nothing else to do


class Bench:
    """Arms that stay at home, a world without an opinion, and a policy that answers when told to."""

    def __init__(self, robot, make_chunk, has_policy=True) -> None:
        self._robot, self._make_chunk = robot, make_chunk
        settings = {"state_timeout": 5.0, "teleop_timeout": 1.0, "chunk_timeout": 60.0}
        self.executor_node = ExecutorNode(
            parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]
        )
        self.node = rclpy.create_node("bench")
        self._spinner = StaticSingleThreadedExecutor()
        self._spinner.add_node(self.executor_node)
        self._spinner.add_node(self.node)
        self.feedback: list[RunTask.Feedback] = []
        self.received = {name: [] for name in ("request", "left", "right", "state", "status", "mode")}
        for name, kind, topic, profile in (
            ("request", ChunkRequest, "/clwm/chunk_request", qos.CRITICAL),
            ("left", JointTrajectory, robot.left.controller.topic, qos.CRITICAL),
            ("right", JointTrajectory, robot.right.controller.topic, qos.CRITICAL),
            ("state", DualArmState, "/clwm/state", qos.STATE),
            ("status", TaskStatus, "/clwm/task_status", qos.LATCHED),
            ("mode", ModeStatus, "/clwm/mode", qos.LATCHED),
        ):
            self.node.create_subscription(kind, topic, self.received[name].append, profile)
        self._joints = self.node.create_publisher(JointState, robot.joint_states_topic, qos.SENSOR)
        self._chunks = self.node.create_publisher(ActionChunk, "/clwm/action_chunk", qos.CRITICAL)
        self._refusals = self.node.create_publisher(msg.ChunkRefusal, "/clwm/chunk_refusal", qos.CRITICAL)
        self._verdicts = self.node.create_publisher(msg.Verdict, "/clwm/verdict", qos.VERDICT)
        self.objection = ""
        if has_policy:
            self.node.create_service(CheckTask, "/clwm/check_task", self._on_check)
        self._episodes = self.node.create_publisher(EpisodeStatus, "/clwm_sim/episode", qos.REPORT)
        self._teleop = self.node.create_publisher(msg.TeleopCommand, "/clwm/teleop", qos.TELEOP)
        self.set_task = self.node.create_client(SetTask, "/clwm/set_task")
        self.set_mode = self.node.create_client(SetMode, "/clwm/set_mode")
        self.run_task = ActionClient(self.node, RunTask, "/clwm/run_task")
        self.node.create_timer(0.02, self._publish_joints)

    def start(self) -> None:
        self.executor_node.trigger_configure()
        self.executor_node.trigger_activate()
        self.wait_for(lambda: self.set_task.service_is_ready() and self.set_mode.service_is_ready())
        self.wait_for(lambda: self._chunks.get_subscription_count() and self.received["state"])

    def close(self) -> None:
        self._spinner.shutdown(timeout_sec=1.0)
        self.run_task.destroy()
        self.node.destroy_node()
        self.executor_node.trigger_shutdown()
        self.executor_node.destroy_node()

    def _publish_joints(self) -> None:
        fingers = [arm.gripper.finger_joint for arm in self._robot.arms]
        message = JointState(name=[*self._robot.joint_names, *fingers])
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.position = [*self._robot.home.tolist(), 0.04, 0.04]
        self._joints.publish(message)

    def wait_for(self, condition):
        """Spin until `condition` gives something true, and return that."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := condition():
                return found
            self._spinner.spin_once(timeout_sec=0.05)
        pytest.fail(f"waited {PATIENCE} s in vain; last status {self.received['status'][-1:]}")

    def call(self, client, request):
        future = client.call_async(request)
        self.wait_for(future.done)
        return future.result()

    def request(self, count=1):
        """The request number `count` for a chunk, in the core's form."""
        wanted = self.received["request"]
        return from_msg(
            self.wait_for(lambda: [m for m in wanted if m.kind == ChunkRequest.GENERATE][count - 1 : count])[0]
        )

    def answer(self, request, **changes) -> None:
        message = to_msg(self._make_chunk(request))
        for name, value in changes.items():
            setattr(message, name, value)
        self._chunks.publish(message)

    def _on_check(self, request, response):
        response.accepted, response.message = not self.objection, self.objection
        return response

    def refuse(self, request, kind, reason, may_pass=False) -> None:
        refusal = ChunkRefusal(request.chunk_id, request.task_epoch, kind, reason, may_pass)
        self._refusals.publish(to_msg(refusal))

    def judge(self, outcome, epoch=None, reason="", judge="bench") -> None:
        """Somebody's verdict on an epoch, by default the present one."""
        epoch = self.executor_node.scheduler.task_epoch if epoch is None else epoch
        self._verdicts.publish(to_msg(Verdict(self.executor_node.now(), epoch, judge, outcome, "", reason)))

    def episode(self, number, succeeded=False) -> None:
        stamp = to_stamp(self.executor_node.now())
        self._episodes.publish(EpisodeStatus(stamp=stamp, task="lift_tray", episode=number, succeeded=succeeded))

    def run(self, instruction="lift the tray", timeout=60.0):
        """A future of the result of a run."""
        self.wait_for(self.run_task.server_is_ready)
        goal = self.run_task.send_goal_async(
            RunTask.Goal(instruction=instruction, timeout=timeout), lambda m: self.feedback.append(m.feedback)
        )
        self.wait_for(goal.done)
        return goal.result().get_result_async()

    def result(self, run) -> RunTask.Result:
        self.wait_for(run.done)
        return run.result().result

    def ask(self, dead_man=True, layout_version=1) -> None:
        """A human wants the left arm a little aside."""
        target, valid = np.zeros(30, np.float32), np.zeros(30, np.bool_)
        target[14:21], valid[14:21] = self._robot.home[:7] + 0.05, True
        message = to_msg(TeleopCommand(self.executor_node.now(), "leader", dead_man, target, valid))
        message.layout_version = layout_version
        self._teleop.publish(message)

    def mode(self) -> tuple[int, str]:
        last = self.received["mode"][-1:]
        return (last[0].mode, last[0].owner) if last else (-1, "")

    def status(self) -> dict:
        if not self.received["status"]:
            return {}
        status = from_msg(self.received["status"][-1])
        return {**vars(status), "mode": status.mode.name}


pytestmark = pytest.mark.usefixtures("ros_context")


@pytest.fixture
def bench(robot, make_stack):
    made = Bench(robot, make_stack().chunk)
    made.start()
    yield made
    made.close()


@pytest.fixture
def lonely_bench(robot, make_stack):
    """Without a policy."""
    made = Bench(robot, make_stack().chunk, has_policy=False)
    made.start()
    yield made
    made.close()


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


def test_run_task_ends_with_the_success_of_its_own_epoch_and_no_earlier_one(bench):
    bench.judge(Judgement.SUCCEEDED)
    run = bench.run()
    bench.judge(Judgement.SUCCEEDED, epoch=bench.executor_node.scheduler.task_epoch - 1, judge="late")
    bench.answer(bench.request())
    bench.wait_for(lambda: bench.status().get("phase") == "MOVING" and len(bench.feedback) > 1)
    assert not run.done()
    bench.judge(Judgement.SUCCEEDED)
    assert bench.result(run).outcome == RunTask.Result.SUCCEEDED
    assert bench.wait_for(lambda: bench.status()["instruction"] == "")


def test_what_the_world_says_of_its_own_episode_is_no_verdict_on_a_run(bench):
    run = bench.run(timeout=1.0)
    bench.request()
    bench.episode(3, succeeded=True)
    result = bench.result(run)
    assert result.outcome == RunTask.Result.TIMED_OUT and "nobody judged it" in result.message


def test_a_run_that_nobody_can_judge_ends_with_its_time_and_says_why(bench):
    run = bench.run("dance", timeout=1.5)
    bench.request()
    bench.judge(Judgement.UNJUDGED, reason="this world cannot judge 'dance'")
    bench.wait_for(lambda: any("cannot judge 'dance'" in feedback.note for feedback in bench.feedback))
    result = bench.result(run)
    assert result.outcome == RunTask.Result.TIMED_OUT
    assert result.message.endswith("nobody can judge this task: this world cannot judge 'dance'")


def test_a_verdict_on_the_world_before_its_reset_does_not_end_the_run(bench):
    bench.episode(3)
    run = bench.run()
    first = bench.request()
    bench.episode(4)
    bench.request(2)
    bench.judge(Judgement.FAILED, epoch=first.task_epoch)
    bench.wait_for(lambda: len(bench.feedback) > 2)
    assert not run.done()
    bench.judge(Judgement.SUCCEEDED)
    assert bench.result(run).outcome == RunTask.Result.SUCCEEDED


@pytest.mark.parametrize("goal", [{"instruction": ""}, {"timeout": 0.0}, {"timeout": float("inf")}])
def test_run_task_without_words_or_a_finite_time_is_refused_with_the_reason(bench, goal):
    result = bench.result(bench.run(**goal))
    assert result.outcome == RunTask.Result.REFUSED
    assert ("instruction is empty" if "instruction" in goal else "its timeout is") in result.message


def test_a_task_that_the_policy_does_not_take_is_refused_with_its_reason(bench):
    bench.objection = "no memory was kept for the task 'dance'"
    before = bench.executor_node.scheduler.task_epoch
    answer = bench.call(bench.set_task, SetTask.Request(instruction="dance", memory_policy=2))
    assert not answer.accepted and answer.message == bench.objection
    result = bench.result(bench.run("dance"))
    assert (result.outcome, result.message) == (RunTask.Result.REFUSED, bench.objection)
    assert bench.executor_node.scheduler.task_epoch == before and not bench.received["request"]


def test_without_a_policy_a_task_is_refused_within_a_few_seconds_and_orders_are_heard_meanwhile(lonely_bench):
    bench = lonely_bench
    asked = bench.set_task.call_async(SetTask.Request(instruction="lift the tray"))
    run = bench.run()
    assert bench.call(bench.set_mode, SetMode.Request(mode=SetMode.Request.HOLD)).accepted
    assert not asked.done()
    bench.wait_for(asked.done)
    assert not asked.result().accepted and "no policy offers /clwm/check_task within 2 s" in asked.result().message
    assert bench.result(run).outcome == RunTask.Result.REFUSED


def test_a_refusal_of_the_policy_ends_the_run_with_its_reason_and_the_next_task_is_free(bench):
    run = bench.run()
    bench.refuse(bench.request(), RefusalKind.OBSERVATION, "features come from another encoder")
    result = bench.result(run)
    assert (result.outcome, result.message) == (RunTask.Result.FAILED, "features come from another encoder")
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.request(2)
    bench.wait_for(lambda: bench.status()["fault"] == "")


def test_a_refusal_that_may_pass_is_shown_as_what_is_waited_for_until_a_chunk_comes(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.refuse(bench.request(), RefusalKind.NO_OBSERVATION, "no usable picture", may_pass=True)
    bench.wait_for(lambda: bench.status()["waiting"] == "no usable picture")
    assert "no usable picture" in bench.executor_node.diagnose().message
    bench.answer(bench.request(2))
    bench.wait_for(lambda: bench.status()["waiting"] == "" and bench.status()["phase"] == "MOVING")


def test_deactivation_ends_a_run_with_the_reason(bench):
    run = bench.run()
    bench.request()
    bench.executor_node.trigger_deactivate()
    result = bench.result(run)
    assert (result.outcome, result.message) == (RunTask.Result.FAILED, "the executor was deactivated")
    assert bench.result(bench.run()).message == "the executor is not active; activate it first"


def test_deactivation_and_clean_up_end_what_the_policy_was_still_asked_about(lonely_bench):
    bench = lonely_bench
    run = bench.run()
    asked = bench.set_task.call_async(SetTask.Request(instruction="dance"))
    bench.wait_for(lambda: len(bench.executor_node.task_check._open) == 2)
    bench.executor_node.trigger_deactivate()
    assert bench.result(run).message == "the executor was deactivated"
    bench.wait_for(asked.done)
    assert not asked.result().accepted
