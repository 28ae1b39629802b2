"""The executor's node in one process with a bench that plays arms, world and policy over DDS."""

import time

import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from clwm_common.files.model_files import ModelFiles
from clwm_common.messages import ChunkRefusal, SaiReport, TeleopCommand, Verdict
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, to_msg, to_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor
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
        self._reports = self.node.create_publisher(msg.SaiReport, "/clwm/sai_report", qos.REPORT)
        self.verdicts: list[msg.Verdict] = []
        self.node.create_subscription(msg.Verdict, "/clwm/verdict", self.verdicts.append, qos.VERDICT)
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
        objection = "" if request.insist else self.objection
        response.accepted, response.message = not objection, objection
        if request.accept_estimate:
            response.success_threshold, response.success_chunks, response.success_error = 0.9, 2, "wrong 1 of 9"
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

    def estimate(self, *values) -> None:
        """What the policy believes of its success, a chunk each."""
        epoch = self.executor_node.scheduler.task_epoch
        for number, value in enumerate(values):
            self._reports.publish(to_msg(SaiReport(number, epoch, "adaptive", success_estimate=value)))

    def run(self, instruction="lift the tray", timeout=60.0, **changes):
        """A future of the result of a run."""
        self.wait_for(self.run_task.server_is_ready)
        goal = self.run_task.send_goal_async(
            RunTask.Goal(instruction=instruction, timeout=timeout, **changes),
            lambda m: self.feedback.append(m.feedback),
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
