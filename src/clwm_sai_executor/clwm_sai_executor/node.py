"""The node `executor`: the scheduler's events from topics and services, its commands to controllers and policy."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from clwm_common.actions import LayoutError
from clwm_common.commanders import fight
from clwm_common.files.policy_document import CheckpointError, read_policy_document
from clwm_common.messages import ChunkRequest as CoreRequest
from clwm_common.messages import MemoryPolicy, Mode, TaskStatus, Verdict, goal_problem, instruction_problem
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.ros import qos
from clwm_common.ros.conversions import ConversionError, from_msg, to_msg
from clwm_common.ros.diagnostics import Health
from clwm_common.ros.lifecycle import ClwmNode, NodeError, run
from clwm_common.ros.parameters import Parameter, parameters_of
from clwm_common.ros.transport import send_small_messages_only
from clwm_common.verdicts import FINAL, OPERATOR, OWN_ESTIMATE, Verdicts
from clwm_msgs import msg as ros
from clwm_msgs.msg import ActionChunk, ChunkRequest, DualArmState, EpisodeStatus, ModeStatus, SaiReport, TeleopCommand
from clwm_msgs.srv import SetMode, SetTask
from clwm_sai_executor import events
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.checks.start import StartCheck
from clwm_sai_executor.config import ConfigError, SchedulerConfig
from clwm_sai_executor.health_node import health, task_status
from clwm_sai_executor.inputs.joint_inputs_node import JointInputs
from clwm_sai_executor.inputs.joint_intake import JointIntake
from clwm_sai_executor.outputs.controller_check_node import ControllerCheck
from clwm_sai_executor.outputs.outputs_node import Outputs
from clwm_sai_executor.phase import Phase
from clwm_sai_executor.requests.lateness import Lateness
from clwm_sai_executor.scheduler import Scheduler
from clwm_sai_executor.tasks.own_estimate import OwnEstimate
from clwm_sai_executor.tasks.run_task_node import RunTaskServer
from clwm_sai_executor.tasks.task_check_node import TaskAnswer, TaskCheck

# s; every joint state is a tick as well, so this only bounds how late a watchdog bites when they fall silent.
TICK_PERIOD = 0.02
UNCHECKED = "execution_horizon is unchecked: set 'policy_document' to the .json beside the policy's weights"


class ExecutorNode(ClwmNode):
    """One thread: every callback is one step of the scheduler, and takes about a millisecond at most."""

    ROLE = "executor"
    PARAMETERS = (
        Parameter("robot", "dual_fr3_mujoco", "name of the robot description in config/robots"),
        Parameter("policy_document", "", ".json of the policy in use, which says what horizons it knows; empty: any"),
        Parameter("start_mode", "POLICY", "mode after activation", choices=("POLICY", "HOLD")),
        *parameters_of(SchedulerConfig),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("executor", **kwargs)
        self._scheduler: Scheduler | None = None
        self._run_task: RunTaskServer | None = None
        self._outputs: Outputs | None = None
        self._task_check: TaskCheck | None = None

    def sole_names(self) -> list[str]:
        try:
            robot = RobotDescription.load(self.params.robot)
        except RobotError as error:
            raise NodeError(str(error)) from error
        return [*(arm.controller.topic for arm in robot.arms), "/clwm/mode"]

    def configure(self) -> None:
        try:
            self._robot = RobotDescription.load(self.params.robot)
            settings = {
                name: value for name, value in vars(self.params).items() if name in SchedulerConfig.model_fields
            }
            known = known_horizons(self.params.policy_document)
            config = SchedulerConfig(**settings, initial_mode=Mode[self.params.start_mode], known_horizons=known)
            # A policy outlives executors: it must not take the first task of a new one for that of another before.
            epoch = secrets.randbits(31)
            self._scheduler = Scheduler(self._robot, config, margins=margins_of(self._robot), epoch=epoch)
        except (CheckpointError, ConfigError, RobotError) as error:
            raise NodeError(str(error)) from error
        self._joints = JointIntake(self._robot, config.state_timeout)
        self._start = StartCheck(self._robot)
        self._lateness = Lateness(TICK_PERIOD)
        self._problem = ""
        self._status: TaskStatus | None = None
        self._episode: int | None = None
        self._controllers = ControllerCheck(self, self._robot)
        self._create_outputs()
        self._create_inputs()
        self.verdicts = Verdicts()
        self.estimate: OwnEstimate | None = None  # of the task, where whoever gave it accepts that
        self._task_check = TaskCheck(self)
        self._run_task = RunTaskServer(self)

    def _create_outputs(self) -> None:
        self._state_output = self.create_publisher(DualArmState, "/clwm/state", qos.STATE)
        self._request_output = self.create_publisher(ChunkRequest, "/clwm/chunk_request", qos.CRITICAL)
        self._mode_output = self.create_publisher(ModeStatus, "/clwm/mode", qos.LATCHED)
        self._status_output = self.create_publisher(ros.TaskStatus, "/clwm/task_status", qos.LATCHED)
        self._verdict_output = self.create_publisher(ros.Verdict, "/clwm/verdict", qos.VERDICT)
        self._timeline_output = self.create_publisher(ros.ChunkTimeline, "/clwm/chunk_timeline", qos.REPORT)
        self._outputs = Outputs(self, self._robot, self.params.lead)

    def _create_inputs(self) -> None:
        JointInputs(self, self._joints, self.params.joint_period, self._on_arms)
        self.create_subscription(ActionChunk, "/clwm/action_chunk", self._on_chunk, qos.CRITICAL)
        self.create_subscription(TeleopCommand, "/clwm/teleop", self._on_teleop, qos.TELEOP)
        self.create_subscription(SaiReport, "/clwm/sai_report", self._on_report, qos.REPORT)
        self.create_subscription(ros.ChunkRefusal, "/clwm/chunk_refusal", self._on_refusal, qos.CRITICAL)
        self.create_subscription(ros.Verdict, "/clwm/verdict", self._on_verdict, qos.VERDICT)
        self.create_subscription(EpisodeStatus, "/clwm_sim/episode", self._on_episode, qos.REPORT)
        self.create_subscription(ros.DriverStatus, "/clwm/driver_status", self._on_driver, qos.LATCHED_BY_ALL)
        # It waits for the policy; all else goes on meanwhile.
        own_group = MutuallyExclusiveCallbackGroup()
        self.create_service(SetTask, "/clwm/set_task", self._on_set_task, callback_group=own_group)
        self.create_service(SetMode, "/clwm/set_mode", self._on_set_mode)
        self.create_timer(TICK_PERIOD, self._on_tick)
        self.create_timer(0.5, self._publish_timeline)

    def activate(self) -> None:
        # Deactivation has left HOLD, or the emergency stop, which stays until somebody takes it back.
        if self.scheduler.mode is not Mode.ESTOP:
            self._step(events.ModeSet(Mode[self.params.start_mode]))
        self._controllers.ask(time.monotonic())
        self._joints.start(self.now())
        self._publish_status()

    def deactivate(self) -> None:
        reason = self.fault or "the executor was deactivated"
        try:
            if self.scheduler.task is not None:
                self.log("info", "the task ends here: once activated again, the arms hold until a task is given")
            # Activation alone must not move the arms.
            self._step(events.TaskEnded())
            self._step(events.ModeSet(max(self.scheduler.mode, Mode.HOLD)))
        finally:
            # Whatever has failed, what was sent last ends at rest, and is followed until there.
            self._outputs.run_out()
            self._task_check.drop(reason)
            self._run_task.abort(reason)
        self._publish_status()

    def cleanup(self) -> None:
        if self._run_task is not None:
            self._run_task.destroy()
        if self._outputs is not None:
            self._outputs.destroy()
        self._run_task = None
        self._task_check = None
        self._outputs = None
        self._scheduler = None

    def clock_jumped(self, seconds: float) -> None:
        if self._run_task is not None:
            self._run_task.shift(seconds)
        if self.is_active:
            self._joints.start(self.now())
            self.perform(events.ClockJumped(seconds))

    def clock_stands(self, problem: str) -> None:
        # No tick comes now, and whoever waits for a task must not take the executor for dead.
        if self.is_active:
            self.perform(events.ClockStands(problem))
            self._run_task.poll(self.now())

    def diagnose(self) -> Health:
        waits = self._joints.problems(self.now())
        arms = self._joints.latest
        if not waits and self.scheduler.is_at_rest and arms and not self.scheduler.fault:
            waits = [refusal] if (refusal := self._start.refusal(arms)) else []
        problems = [] if self.params.policy_document else [UNCHECKED]
        problems += [text for text in (self.scheduler.waiting, self._problem) if text]
        problems += self._joints.warnings()
        if self.scheduler.phase is Phase.IDLE and self.scheduler.task is not None and arms:
            problems += [unrest] if (unrest := self._start.unrest(arms)) else []
        problems += [*self._outputs.problems, *self._controllers.warnings]
        others = self._controllers.commanders({self.role.participant})
        fights = [fight(topic, names) for topic, names in others.items() if names]
        return health(self.scheduler, waits, problems, fights, self._controllers.summary)

    @property
    def scheduler(self) -> Scheduler:
        assert self._scheduler is not None
        return self._scheduler

    @property
    def task_check(self) -> TaskCheck:
        assert self._task_check is not None
        return self._task_check

    def problem_with(self, instruction: str, memory_policy: int, goal: str = "") -> str:
        """Why such a task cannot even be tried; empty when the policy may be asked."""
        if not self.is_active:
            return "the executor is not active; activate it first"
        if memory_policy not in list(MemoryPolicy):
            return f"memory_policy is {memory_policy}; expected KEEP (0), RESET (1) or RESTORE (2)"
        return instruction_problem(instruction) or goal_problem(goal)

    def begin_task(self, task: events.TaskSet, answer: TaskAnswer) -> str:
        """Have it done, as far as the policy takes it. Returns the reason when it is refused, else an empty text."""
        if not (refusal := answer.refusal or self.perform(task)):
            self.estimate = None if answer.terms is None else OwnEstimate(answer.terms)
        return refusal

    def end_task(self) -> None:
        """Nothing more is asked of the policy, whether or not the executor is still active."""
        self.estimate = None
        self._step(events.TaskEnded())
        self._publish_status()

    def perform(self, event: events.Event) -> str:
        """One step of the scheduler. Returns the reason when it refused, else an empty text."""
        refusal = self._step(event) if self.is_active else "the executor is not active; activate it first"
        self._publish_status()
        return refusal

    def _step(self, event: events.Event) -> str:
        refusal = ""
        for command in self.scheduler.step(self.now(), event):
            match command:
                case events.PublishState(state):
                    self._state_output.publish(to_msg(state))
                case events.PublishMode(status):
                    self._mode_output.publish(to_msg(status))
                case events.SendTrajectory():
                    self._outputs.send(command)
                case events.MoveGripper():
                    self._outputs.move(command)
                case events.RequestChunk(request):
                    self._request_output.publish(to_msg(request))
                case events.CancelChunk(chunk_id, epoch):
                    request = CoreRequest(chunk_id, epoch, 0.0, 0.0, cancel=True)
                    self._request_output.publish(to_msg(request))
                case events.Report(level, text, is_refusal):
                    self.log(level, text)
                    refusal = text if is_refusal else refusal
        if self.scheduler.path is None:
            self._outputs.drop()
        self._outputs.repeat()
        return refusal

    def _on_tick(self) -> None:
        lateness = self._lateness.of(self.steady())
        if not self.is_active:
            return
        if refusal := self._controllers.poll(time.monotonic()):
            self.fail(refusal)
            return
        self._step(events.Tick(lateness))
        self._outputs.poll(self.now())
        self._task_check.poll()
        self._run_task.poll(self.now())
        self._publish_status()

    def _on_arms(self, arms: events.MeasuredArms) -> None:
        # The arms stay unseen, so untouched, until it is known what their controllers do with a command.
        if self._controllers.is_settled:
            self._step(arms)

    def _on_chunk(self, message: ActionChunk) -> None:
        if not self.is_active:
            return
        try:
            chunk = from_msg(message)
        except (ConversionError, LayoutError) as error:
            self._step(events.ChunkUnreadable(message.chunk_id, str(error)))
            return
        self._step(events.ChunkArrived(chunk))

    def _on_teleop(self, message: TeleopCommand) -> None:
        # One that cannot be read is as good as silence: from the one who moves the arms, the time-out stops them.
        if self.is_active and (command := self._read(message, f"command of teleoperation source '{message.source}'")):
            self._step(events.TeleopArrived(command))

    def _on_report(self, message: SaiReport) -> None:
        if not self.is_active:
            return
        report = from_msg(message)
        self._step(events.ReportArrived(report))
        epoch = self.scheduler.task_epoch
        if self.estimate and (verdict := self.estimate.hear(report, self.now(), epoch, self.verdicts.of(epoch))):
            self._verdict_output.publish(to_msg(verdict))
            self._hear(verdict)

    def _on_refusal(self, message: ros.ChunkRefusal) -> None:
        if not self.is_active:
            return
        if refusal := self._read(message, f"refusal of chunk {message.chunk_id}"):
            self._step(events.RefusalArrived(refusal))
        self._publish_status()

    def _on_verdict(self, message: ros.Verdict) -> None:
        if verdict := self._read(message, f"verdict of '{message.judge}'"):
            self._hear(verdict)

    def _hear(self, verdict: Verdict) -> None:
        self.verdicts.add(verdict)
        is_final = verdict.outcome in FINAL and verdict.task_epoch == self.scheduler.task_epoch
        if self.is_active and is_final and verdict.judge in (OPERATOR, OWN_ESTIMATE):
            self._run_task.poll(self.now())
            # Nobody waits for its end: it was given to be done until somebody says that it is.
            if self.scheduler.task is not None and verdict.task_epoch == self.scheduler.task_epoch:
                self.log(
                    "info", f"the task ends: {verdict.outcome.name.lower()}, says {verdict.judge}: {verdict.reason}"
                )
                self.end_task()

    def _on_driver(self, message: ros.DriverStatus) -> None:
        # Also before the activation: it is said once, when it changes.
        self._step(events.DriverSaid(message.arm, message.fault))
        self._publish_status()

    def _on_episode(self, message: EpisodeStatus) -> None:
        before, self._episode = self._episode, message.episode
        if before is not None and before != message.episode and self.is_active:
            self._step(events.EpisodeReset())

    async def _on_set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        response.message = self.problem_with(request.instruction, request.memory_policy, request.goal)
        if not response.message:
            memory = MemoryPolicy(request.memory_policy)
            task = events.TaskSet(request.instruction, memory, request.episode_seed, request.goal)
            answer = await self.task_check.ask(task, request.insist, request.accept_estimate)
            response.message = self.begin_task(task, answer)
        response.accepted = not response.message
        response.task_epoch = self.scheduler.task_epoch
        return response

    def _on_set_mode(self, request: SetMode.Request, response: SetMode.Response) -> SetMode.Response:
        response.mode = int(self.scheduler.mode)
        try:
            mode = Mode(request.mode)
        except ValueError:
            response.message = f"mode is {request.mode}; expected POLICY (0), TELEOP (1), HOLD (2) or ESTOP (3)"
            return response
        response.message = self.perform(events.ModeSet(mode))
        response.accepted = not response.message
        response.mode = int(self.scheduler.mode)
        return response

    def _read(self, message: Any, what: str) -> Any | None:
        """The core's form of a message; None, and a note, when it has none."""
        try:
            return from_msg(message)
        except (ConversionError, LayoutError) as error:
            self._note(f"{what} cannot be read: {error}")
            return None

    def _note(self, problem: str) -> None:
        """Log a problem with an input once, and show it in the diagnostics."""
        if problem != self._problem:
            self._problem = problem
            self.get_logger().warning(problem)

    def _publish_status(self) -> None:
        """What an operator must know, when it changes; a late subscriber gets the last one."""
        status = task_status(self.scheduler, self.is_active)
        if status != self._status:
            self._status = status
            self._status_output.publish(to_msg(replace(status, stamp=self.now())))

    def _publish_timeline(self) -> None:
        """Every chunk whose story is complete."""
        for record in self.scheduler.timeline.take_complete(self.now()):
            self._timeline_output.publish(to_msg(record))


def known_horizons(policy_document: str) -> tuple[int, ...]:
    """Execution horizons of the policy with this .json; none without a path. Raises CheckpointError."""
    return read_policy_document(Path(policy_document)).inputs.known_horizons() if policy_document else ()


def main() -> int:
    send_small_messages_only()
    return run(ExecutorNode)


if __name__ == "__main__":
    raise SystemExit(main())
