"""The nodes `left_hand` and `right_hand`: a Franka hand by libfranka, behind the action MoveGripper."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState

from clwm_common.control.gripper_goal import Ending
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.ros import qos
from clwm_common.ros.control.gripper_server import GripperServer
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.ros.lifecycle import ClwmNode, NodeError, run
from clwm_common.ros.parameters import Parameter
from clwm_franka.driver import RETRY
from clwm_franka.hand_goal import Grasp, HandSeen, Move, command_for, ending_of
from clwm_franka.hand_link import HandLink, HandLost

LOOK = 0.02  # s between two looks at the hand


class HandNode(ClwmNode):
    """Looks at the hand 50 times a second, publishes its opening, and ends goals by what it sees then."""

    PARAMETERS = (
        Parameter("robot", "dual_fr3_libfranka", "name of the robot description in config/robots"),
        Parameter("arm", "left", "at which of its arms the hand is", choices=("left", "right")),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("hand", **kwargs)
        self._link: HandLink | None = None
        self._server: GripperServer | None = None

    def configure(self) -> None:
        try:
            robot = RobotDescription.load(self.params.robot)
        except RobotError as error:
            raise NodeError(str(error)) from error
        arm = getattr(robot, self.params.arm)
        if arm.libfranka is None:
            raise NodeError(f"robot '{robot.name}' has no libfranka address for its {self.params.arm} arm; give one")
        self._address, self._gripper = arm.libfranka.address, arm.gripper
        self._reason, self._note = "not connected yet", ""
        self._tried_at = -RETRY
        self._seen: HandSeen | None = None
        self._seen_at = 0.0
        self._command: Move | Grasp | None = None
        self._joints = self.create_publisher(JointState, self._gripper.joint_states_topic, qos.SENSOR)
        self._server = GripperServer(self, self._gripper, self._move, lambda width: self)
        self.create_timer(LOOK, self._run, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        # Fingers that hold something go on holding it.
        self._link = None

    def cleanup(self) -> None:
        if self._server is not None:
            self._server.destroy()
        self._server = self._link = None

    def diagnose(self) -> Health:
        values = {"opening": self._seen.width if self._seen else 0.0, "last_goal": self._note}
        if self._reason:
            return Health(Level.ERROR, f"{self.params.arm} hand: {self._reason}", values)
        if self._note.startswith("closed"):
            return Health(Level.WARN, f"{self.params.arm} hand: {self._note}", values)
        return Health(Level.OK, "takes goals", values)

    def look(self, now: float, width: float, speed: float) -> Ending | None:
        """As the judge of the running goal: how it ends, or None while it goes on."""
        if self._link is None or self._link.is_busy:
            return None
        ending = ending_of(self._command, self._seen, self._link.outcome())
        self._note = ending.problem or ending.note
        if self._note:
            self.log("warning" if ending.problem else "info", f"{self.params.arm} hand: {self._note}")
        return ending

    def _move(self, width: float, max_effort: float) -> bool:
        """Whether the hand takes it."""
        if not self.is_active or self._link is None or self._seen is None:
            return False
        width = min(max(width, self._gripper.opening_min), self._gripper.opening_max)
        self._command = command_for(width, max_effort, self._seen.width, self._gripper.speed)
        try:
            self._link.start(self._command)
        except HandLost as error:
            self._lose(error)
            return False
        return True

    def _run(self) -> None:
        if not self.is_active:
            return
        try:
            if self._link is None:
                self._connect()
            else:
                self._look()
        except HandLost as error:
            self._lose(error)

    def _connect(self) -> None:
        if time.monotonic() - self._tried_at < RETRY:
            return
        self._tried_at = time.monotonic()
        self._link = HandLink(self._address)
        self._reason = ""
        self.log("info", f"{self.params.arm} hand: takes goals")

    def _look(self) -> None:
        before, self._seen = self._seen, self._link.look()
        now, width = self.now(), self._seen.width
        passed = now - self._seen_at
        speed = (width - before.width) / passed if before is not None and passed > 0.0 else 0.0
        self._seen_at = now
        message = JointState(name=[self._gripper.finger_joint], position=[width / 2.0], velocity=[speed / 2.0])
        message.header.stamp = to_stamp(now)
        self._joints.publish(message)
        self._server.look(now, width, speed)

    def _lose(self, error: HandLost) -> None:
        self._link = None
        if self._reason != (reason := f"no connection ({error}); trying again every {RETRY:.0f} s"):
            self._reason = reason
            self.log("error", f"{self.params.arm} hand: {reason}")


def main() -> int:
    return run(HandNode)


if __name__ == "__main__":
    raise SystemExit(main())
