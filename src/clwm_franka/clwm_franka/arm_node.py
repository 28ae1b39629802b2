"""The nodes `left_arm` and `right_arm`: one arm by libfranka, with a joint_trajectory_controller's topic."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.ros import qos
from clwm_common.ros.control.trajectories import TRAJECTORY_BYTES, joint_trajectory
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.ros.lifecycle import ClwmNode, NodeError, run
from clwm_common.ros.parameters import Parameter
from clwm_franka import driver
from clwm_franka.arm_control import ArmControl
from clwm_franka.robot_clock import RobotClock
from clwm_franka.robot_link import ControlEnded, LinkLost, RobotLink, RobotSeen
from clwm_msgs.msg import DriverStatus

PERIOD = 0.01  # s of the robot's time between two messages of where the joints are
TURN = 0.02  # s of real time after which others of this process get their turn
SOON = 1e-4  # s
LOOK = 0.05  # s between two looks whether it is time to connect
NEWS = 20  # states within which an error that has ended a motion is told
REST = 0.5  # s of cycles in which an arm comes to rest before it is let go of


class ArmNode(ClwmNode):
    """One thread: the robot's cycles come in bursts of 10 ms; between them messages and services have their turn."""

    PARAMETERS = (
        Parameter("robot", "dual_fr3_libfranka", "name of the robot description in config/robots"),
        Parameter("arm", "left", "which of its arms", choices=("left", "right")),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("arm", **kwargs)
        self._link: RobotLink | None = None

    def configure(self) -> None:
        try:
            robot = RobotDescription.load(self.params.robot)
        except RobotError as error:
            raise NodeError(str(error)) from error
        self._arm = getattr(robot, self.params.arm)
        if self._arm.libfranka is None:
            raise NodeError(f"robot '{robot.name}' has no libfranka address for its {self.params.arm} arm; give one")
        self._limits = robot.limits
        self._driver = driver.Driver(self.params.arm)
        self._robot_clock = RobotClock()
        self._control = ArmControl(self._arm.joint_names, self._limits, robot.home[:7])
        self._counted = (0, 0)
        self._said: str | None = None
        self._told: str | None = None
        self._published_at = self._turn_ends = 0.0
        self._last_refusal = ""
        self._joints = self.create_publisher(JointState, self._arm.joint_states_topic, qos.SENSOR)
        self._status = self.create_publisher(DriverStatus, "/clwm/driver_status", qos.LATCHED)
        self._motion: Subscription = self.create_subscription(
            JointTrajectory, self._arm.controller.topic, self._on_trajectory, qos.CONTROLLER, max_bytes=TRAJECTORY_BYTES
        )
        self.create_service(Trigger, "~/recover", self._on_recover)
        # What a robot waits for is real time, whatever the stack's clock says.
        self._timer = self.create_timer(LOOK, self._run, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def activate(self) -> None:
        self._say()

    def deactivate(self) -> None:
        # What was sent ends at rest; without its end the arm is brought there by the filter.
        for _ in range(round(REST / PERIOD)):
            if self._driver.phase is not driver.Phase.CONTROLLING or self._control.is_at_rest:
                break
            self._cycles()
        if self._driver.phase is driver.Phase.CONTROLLING:
            self._attempt_link(self._end_motion)
        self._link = None
        self._driver = driver.Driver(self.params.arm)

    def cleanup(self) -> None:
        self._link = None

    def diagnose(self) -> Health:
        cycles, missed = self._control.cycles - self._counted[0], self._control.missed - self._counted[1]
        self._counted = self._control.cycles, self._control.missed
        values = {
            "phase": self._driver.phase.name,
            "cycles": self._control.cycles,
            "cycles_missed": self._control.missed,
            "missed_of_late": missed / cycles if cycles else 0.0,
            "taken_over": self._control.taken_over,
            "last_refusal": self._last_refusal,
        }
        if reason := self._driver.reason:
            return Health(Level.ERROR, reason, values)
        return Health(Level.OK, "takes commands", values)

    def _run(self) -> None:
        if not self.is_active:
            return
        if self._driver.phase is driver.Phase.CONTROLLING:
            self._cycles()
        elif self._link is not None:
            self._attempt_link(self._look)
        self._perform(driver.Tick())
        soon = self._link is not None
        self._timer.timer_period_ns = round(1e9 * (SOON if soon else LOOK))
        self._timer.reset()

    def _perform(self, event: driver.Event) -> None:
        for command in self._driver.step(time.monotonic(), event):
            match command:
                case driver.Connect():
                    self._attempt_link(self._connect)
                case driver.Begin():
                    self._attempt_link(self._begin)
                case driver.Recover():
                    self._recover()
        self._say()

    def _attempt_link(self, action: Any) -> None:
        try:
            action()
        except LinkLost as error:
            self._link = None
            self._perform(driver.Lost(str(error)))
        except ControlEnded as error:
            self._link.let_go()
            self._perform(driver.Ended(str(error), self._errors()))

    def _errors(self) -> tuple[str, ...]:
        """Of the robot that has just ended a motion, as far as it still answers."""
        try:
            # What it said before that comes first.
            for _ in range(NEWS):
                if errors := self._link.look().errors:
                    return errors
        except (LinkLost, ControlEnded) as error:
            self.log("warning", f"errors of the {self.params.arm} arm are not known: {error}")
        return ()

    def _connect(self) -> None:
        self._link = RobotLink(self._arm.libfranka)
        self._look()

    def _look(self) -> None:
        """What the robot says while it gets no commands."""
        while self._take_in(self._link.look()):
            pass
        self._perform(driver.Seen(self._seen.mode, self._seen.errors))

    def _begin(self) -> None:
        seen = self._link.begin()
        self._control.hold(seen.set_point)
        self._link.command(seen.set_point)
        self._perform(driver.Begun())

    def _cycles(self) -> None:
        def some() -> None:
            goes_on = True
            while goes_on:
                seen = self._link.next()
                goes_on = self._take_in(seen)
                self._link.command(self._control.cycle(self._instant, seen.since, seen.set_point))

        self._attempt_link(some)

    def _take_in(self, seen: RobotSeen) -> bool:
        """A state, which is published when it is time to. Returns whether more may follow at once."""
        self._seen, self._instant = seen, self._robot_clock.at(seen.time, self.now())
        if abs(self._instant - self._published_at) < PERIOD - 1e-4:
            return time.monotonic() < self._turn_ends
        self._published_at = self._instant
        self._turn_ends = time.monotonic() + TURN
        self._publish(seen, self._instant)
        return False

    def _end_motion(self) -> None:
        seen = self._link.next()
        self._link.command(seen.set_point, is_last=True)

    def _recover(self) -> None:
        try:
            self._link.recover()
        except LinkLost as error:
            self._link = None
            self._perform(driver.Lost(str(error)))
        except ControlEnded as error:
            self._perform(driver.RecoveryEnded(str(error)))
        else:
            self._perform(driver.RecoveryEnded())

    def _on_recover(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self._driver.refusal if self.is_active else "the driver is not active; activate it first"
        if not refusal:
            self.get_logger().info("error recovery, as was asked")
            self._perform(driver.RecoveryAsked())
            refusal = self._driver.reason
        response.success, response.message = not refusal, refusal
        return response

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if not self.is_active or self._driver.phase is not driver.Phase.CONTROLLING:
            return
        try:
            self._control.receive(joint_trajectory(message), self.now())
        except TrajectoryRefused as error:
            self._last_refusal = str(error)
            self.get_logger().warning(f"{self._arm.controller.topic}: {error}")

    def _publish(self, seen: RobotSeen, now: float) -> None:
        message = JointState(name=self._arm.joint_names, position=seen.positions.tolist())
        message.velocity = seen.velocities.tolist()
        message.header.stamp = to_stamp(max(now, 0.0))  # before the stack's clock runs
        self._joints.publish(message)

    def _say(self) -> None:
        """Log a change of what is wrong, and tell it to those who move the arm."""
        if self._driver.reason != self._said:
            self._said = self._driver.reason
            self.log("error" if self._driver.fault else "info", self._said or f"{self.params.arm} arm: takes commands")
        if self._driver.fault != self._told:
            self._told = self._driver.fault
            stamp = self.get_clock().now().to_msg()
            self._status.publish(DriverStatus(stamp=stamp, arm=self.params.arm, fault=self._told[:512]))


def main() -> int:
    return run(ArmNode)


if __name__ == "__main__":
    raise SystemExit(main())
