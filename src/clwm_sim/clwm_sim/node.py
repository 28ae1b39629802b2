"""The node `sim`: the simulated robot and its cameras, on the topics that the real ones would have."""

from __future__ import annotations

import functools
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.messages import Verdict
from clwm_common.robot.description import Arm, RobotDescription, RobotError
from clwm_common.robot.gripper import Gripper
from clwm_common.ros import qos
from clwm_common.ros.control.gripper_server import GripperServer
from clwm_common.ros.control.trajectories import TRAJECTORY_BYTES, joint_trajectory
from clwm_common.ros.conversions import ConversionError, from_msg, to_msg, to_stamp
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.ros.lifecycle import ClwmNode, NodeError, run
from clwm_common.ros.parameters import Parameter
from clwm_msgs import msg as ros
from clwm_msgs.msg import EpisodeStatus
from clwm_msgs.srv import DisturbRobot, ResetWorld
from clwm_sim.cameras import RenderError
from clwm_sim.cell import Cell
from clwm_sim.controllers.forward_controller import CommandRefused
from clwm_sim.controllers.gripper_goal import GripperGoal
from clwm_sim.controllers.joint_commands import JointCommands
from clwm_sim.controllers.robot_control import SIDES, RobotControl
from clwm_sim.enlargement import Enlargement, EnlargementError
from clwm_sim.franka.start import franka_servers
from clwm_sim.pacing import CLOCK_SET, TICK, EpisodeSeen, JointsSeen, PacedSimulation, PictureTaken
from clwm_sim.sensor_messages import camera_info, episode_status, image, joint_state
from clwm_sim.shipped_tasks import UnknownTask
from clwm_sim.world import World

if TYPE_CHECKING:
    from clwm_sim.franka.control import FrankaServers

SHORTEST_WAIT = 1e-4  # s; a simulation that is late lets messages in between two ticks all the same
COMMAND_BYTES = 4096  # all joints of both arms with their names
POSITIONS_BYTES = 1024  # seven, with the description of their dimensions
SLOW = 0.95  # real-time factor below which the diagnostics warn


class SimNode(ClwmNode):
    """Paces the world to the stack's clock; physics, controllers and cameras share this one thread."""

    ROLE = "sim"
    PARAMETERS = (
        Parameter("robot", "dual_fr3_mujoco", "name of the robot description in config/robots"),
        Parameter("task", "lift_tray", "task of the first episode"),
        Parameter("seed", 0, "initial state of the first episode", minimum=0),
        Parameter("image_size", 128, "width and height of rendered pictures", "px", minimum=32, maximum=1024),
        Parameter("rate", 0.0, "simulated time per real time, told on /clock; 0: the stack's own clock", "", 0.0, 10.0),
        Parameter("patience", 0.0, "real time for which a robot waits for a late command", "s", 0.0, 1.0),
        Parameter("max_lag", 0.1, "delay beyond which simulated time slips instead of catching up", "s", 0.02, 10.0),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("sim", **kwargs)
        self._world: World | Cell | None = None
        self._simulation: PacedSimulation | None = None
        self._gripper_servers: dict[int, GripperServer] = {}
        self._servers: FrankaServers | None = None

    def sole_names(self) -> tuple[str, ...]:
        return ("/clwm_sim/episode",)

    def configure(self) -> None:
        if self.uses_sim_time:
            raise NodeError("the world makes the time on /clock; set its 'rate' instead of 'use_sim_time'")
        try:
            self._robot = RobotDescription.load(self.params.robot)
            self._world = self._simulated()
            for camera in self._robot.cameras:
                self._world.render(camera)
            self._enlargements = {
                camera: Enlargement.of(camera, self._robot.camera_source(camera), self.params.image_size)
                for camera in self._robot.cameras
            }
            if self._robot.driver == "libfranka":
                self._servers = franka_servers(self._robot, self.params.patience)
        except (UnknownTask, RobotError, RenderError, EnlargementError) as error:
            raise NodeError(str(error)) from error
        self._refused = 0
        self._last_refusal = ""
        self._open_outputs()
        self._motion_inputs: list[Subscription] = []
        if (topics := self._robot.joint_interface) is not None:
            self._commands = JointCommands(self._robot)
            given = JointState, topics.commands, self._on_commands, qos.CONTROLLER_STREAM
            self._motion_inputs.append(self.create_subscription(*given, max_bytes=COMMAND_BYTES))
        elif self._servers is None:
            for index, arm in enumerate(self._robot.arms):
                self._listen_for_motion(index, arm)
                self._listen_for_openings(index, arm.gripper)
        self.create_subscription(ros.TaskStatus, "/clwm/task_status", self._on_task, qos.LATCHED)
        self.create_service(ResetWorld, "/clwm_sim/reset", self._on_reset)
        if self._servers is not None:
            self.create_service(DisturbRobot, "/clwm_sim/disturb", self._on_disturb)
        self._timer = self.create_timer(TICK, self._advance)

    def activate(self) -> None:
        episodes = secrets.randbits(31)  # whoever counts resets must not take a simulation for the one before it
        self._origin = self.now() - self.params.rate * time.monotonic()
        control = RobotControl if self._servers is None else self._servers.control_of
        self._simulation = PacedSimulation(
            self._world,
            self._robot,
            self.params.seed,
            *self._clocks(),
            self.params.max_lag,
            episodes,
            control,
            owns_clock=self.params.rate > 0.0,
        )

    def deactivate(self) -> None:
        # Time stands still in the world from here on: nothing moves, so there is nothing to bring to rest.
        self._simulation = None

    def cleanup(self) -> None:
        for server in self._gripper_servers.values():
            server.destroy()
        self._gripper_servers = {}
        if self._servers is not None:
            self._servers.close()
        self._servers = None
        if self._world is not None:
            self._world.close()
        self._world = None

    def is_needed(self) -> bool:
        # An executor that is being ended with the rest still brings the arms to rest.
        interface = self._robot.joint_interface
        topics = [arm.controller.topic for arm in self._robot.arms] if interface is None else [interface.commands]
        return self.is_active and any(map(self.count_publishers, topics))

    def _simulated(self) -> World | Cell:
        if self._robot.simulated_as:
            return Cell(self._robot, self.params.image_size)
        return World(self.params.task, self.params.image_size, self.params.seed, self._robot)

    def diagnose(self) -> Health:
        pace = self._simulation.pace(self._clocks()[1])
        values = {
            "real_time_factor": pace.real_time_factor * (self.params.rate or 1.0),
            "slipped_s": pace.slipped,
            "commands_refused": self._refused,
            "last_refusal": self._last_refusal,
        }
        if self._servers is not None:
            values |= {f"{side}_cycles_missed": arm.missed for side, arm in zip(SIDES, self._servers.arms, strict=True)}
        if self.params.rate:
            # Whoever lives by /clock waits for it.
            return Health(Level.OK, f"simulated time at {values['real_time_factor']:.2f} of real time", values)
        if pace.slipped > 0.0 or pace.real_time_factor < SLOW:
            return Health(Level.WARN, f"too slow: real-time factor {pace.real_time_factor:.2f}, time slips", values)
        return Health(Level.OK, "keeps pace", values)

    def _clocks(self) -> tuple[float, float]:
        """The stack's clock and a steady one at the same instant [s]: read again when a pause came between them."""
        if self.params.rate:
            steady = self.params.rate * time.monotonic()
            return self._origin + steady, steady
        while True:
            before, now, steady = time.monotonic(), self.now(), time.monotonic()
            if steady - before < CLOCK_SET / 5.0:
                return now, steady

    def _open_outputs(self) -> None:
        # Not `_clock`: rclpy's nodes keep their own clock under that name.
        self._clock_output = self.create_publisher(Clock, "/clock", qos.SENSOR)
        if self._servers is None:  # else the arms' drivers publish them
            interface = self._robot.joint_interface
            states = self._robot.joint_states_topic if interface is None else interface.states
            self._joint_output = self.create_publisher(JointState, states, qos.SENSOR)
        self._episode_output = self.create_publisher(EpisodeStatus, "/clwm_sim/episode", qos.REPORT)
        self._verdict_output = self.create_publisher(ros.Verdict, "/clwm/verdict", qos.VERDICT)
        self._channels = self._robot.channels
        self._joint_names = [*self._robot.joint_names, *(arm.gripper.finger_joint for arm in self._robot.arms)]
        self._pictures = {
            camera: (
                self.create_publisher(Image, f"/cameras/{camera}/image_raw", qos.SENSOR),
                self.create_publisher(CameraInfo, f"/cameras/{camera}/camera_info", qos.SENSOR),
            )
            for camera in self._robot.cameras
        }
        self._calibrate()

    def _calibrate(self) -> None:
        """Take the cameras as they are: another scene's head camera sees more."""
        self._calibrations = {
            camera: camera_info(camera, enlargement.intrinsics(self._world.camera_info(camera)))
            for camera, enlargement in self._enlargements.items()
        }

    def _listen_for_motion(self, index: int, arm: Arm) -> None:
        topic = arm.controller.topic
        if arm.controller.kind == "forward":
            given = Float64MultiArray, topic, functools.partial(self._on_positions, index), qos.CONTROLLER_STREAM
            limit = POSITIONS_BYTES
        else:
            given = JointTrajectoryMessage, topic, functools.partial(self._on_trajectory, index), qos.CONTROLLER
            limit = TRAJECTORY_BYTES
        self._motion_inputs.append(self.create_subscription(*given, max_bytes=limit))

    def _listen_for_openings(self, index: int, gripper: Gripper) -> None:
        if gripper.command.kind == "action":
            if gripper.command.type != "MoveGripper":
                raise NodeError(
                    f"robot '{self._robot.name}' has a gripper behind {gripper.command.type}, {gripper.command.name}; "
                    "simulated grippers serve 'type: MoveGripper', or listen to 'command: {kind: topic, name: ...}'"
                )
            open_to = functools.partial(self._open, index)
            self._gripper_servers[index] = GripperServer(self, gripper, open_to, GripperGoal)
            return
        on_opening = functools.partial(self._on_opening, index)
        self.create_subscription(Float64, gripper.command.name, on_opening, qos.CONTROLLER)

    def _advance(self) -> None:
        if self._simulation is None or not self.is_active:
            return
        self._publish_until_now()
        # What is seen at a tick is sent right then: a fixed period would be up to a period late, with every phase.
        wait = self._simulation.due - self._clocks()[1]
        self._timer.timer_period_ns = round(1e9 * max(wait / (self.params.rate or 1.0), SHORTEST_WAIT))
        self._timer.reset()

    def _publish_until_now(self) -> None:
        self._take_motion()
        for seen in self._simulation.run(*self._clocks()):
            self._take_motion()
            stamp = to_stamp(seen.stamp)
            match seen:
                case JointsSeen():
                    self._clock_output.publish(Clock(clock=stamp))
                    if self._servers is None:
                        self._joint_output.publish(joint_state(stamp, self._joint_names, self._channels, seen))
                    for arm, server in self._gripper_servers.items():
                        server.look(seen.stamp, seen.arms.widths[arm], seen.opening_speeds[arm])
                case PictureTaken():
                    enlarged = self._enlargements[seen.camera].picture(seen.picture)
                    pictures, infos = self._pictures[seen.camera]
                    info = self._calibrations[seen.camera]
                    info.header.stamp = stamp
                    pictures.publish(image(stamp, replace(seen, picture=enlarged)))
                    infos.publish(info)
                case EpisodeSeen():
                    self._episode_output.publish(episode_status(stamp, seen))
                case Verdict():
                    self._publish_verdict(seen)

    def _on_task(self, message: ros.TaskStatus) -> None:
        if self._simulation is None:
            return
        try:
            verdict = self._simulation.judge(from_msg(message))
        except ConversionError as error:
            self._refuse(f"/clwm/task_status: {error}")
            return
        if verdict is not None:
            self._publish_verdict(verdict)

    def _publish_verdict(self, verdict: Verdict) -> None:
        self._verdict_output.publish(to_msg(verdict))
        words = f"task epoch {verdict.task_epoch}: {verdict.outcome.name} {verdict.goal}"
        self.get_logger().info(f"{words}: {verdict.reason}" if verdict.reason else words)

    def _on_trajectory(self, arm: int, message: JointTrajectoryMessage, _info: dict[str, int]) -> None:
        if self._simulation is None:
            return
        try:
            self._simulation.control.receive_trajectory(arm, joint_trajectory(message))
        except TrajectoryRefused as error:
            self._refuse(f"{self._robot.arms[arm].controller.topic}: {error}")

    def _take_motion(self) -> None:
        """What came while this thread was busy: a real controller has one of its own, and is late for no message."""
        for subscription in self._motion_inputs:
            with subscription.handle:
                while taken := subscription.handle.take_message(subscription.msg_type, subscription.raw):
                    subscription.callback(*taken)

    def _on_positions(self, arm: int, message: Float64MultiArray, info: dict[str, int]) -> None:
        if self._simulation is None:
            return
        try:
            self._simulation.control.receive_positions(arm, message.data, self._instant_of(info))
        except CommandRefused as error:
            self._refuse(f"{self._robot.arms[arm].controller.topic}: {error}")

    def _on_commands(self, message: JointState, info: dict[str, int]) -> None:
        if self._simulation is None:
            return
        control = self._simulation.control
        try:
            for command in self._commands.read(message.name, message.position):
                if command.positions is not None:
                    control.receive_positions(command.arm, command.positions, self._instant_of(info))
                if command.opening is not None:
                    control.receive_opening(command.arm, command.opening)
        except (CommandRefused, ValueError) as error:
            self._refuse(f"{self._robot.joint_interface.commands}: {error}")

    def _instant_of(self, info: dict[str, int]) -> float:
        """When a message was received, on the stack's clock."""
        received = info["received_timestamp"] * 1e-9
        if not self.params.rate:
            return received
        # In a world that makes the time, what came while it was busy came so much earlier by its pace.
        return self._simulation.stamp_of(self._clocks()[1] - self.params.rate * (self.now() - received))

    def _on_opening(self, arm: int, message: Float64) -> None:
        self._open(arm, message.data)

    def _open(self, arm: int, width: float, _max_effort: float = 0.0) -> bool:
        """Whether the gripper takes it."""
        if self._simulation is None:
            return False
        try:
            self._simulation.control.receive_opening(arm, width)
        except ValueError as error:
            self._refuse(f"{self._robot.arms[arm].gripper.command.name}: {error}")
            return False
        return True

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        self._last_refusal = reason
        self.get_logger().warning(reason)

    def _on_reset(self, request: ResetWorld.Request, response: ResetWorld.Response) -> ResetWorld.Response:
        if self._simulation is None:
            response.accepted, response.message = False, "the simulation is not active; activate the node 'sim' first"
            return response
        try:
            self._simulation.reset(request.seed, request.task or None)
        except UnknownTask as error:
            response.accepted, response.message = False, str(error)
            return response
        self._calibrate()
        response.accepted, response.instruction = True, self._simulation.instruction
        self.get_logger().info(f"episode of seed {request.seed}: {response.instruction}")
        return response

    def _on_disturb(self, request: DisturbRobot.Request, response: DisturbRobot.Response) -> DisturbRobot.Response:
        is_cut = request.kind == DisturbRobot.Request.KIND_CUT
        response.message = self._servers.disturb(request.arm, request.seconds if is_cut else request.error)
        response.accepted = not response.message
        return response


def main() -> int:
    return run(SimNode)


if __name__ == "__main__":
    raise SystemExit(main())
