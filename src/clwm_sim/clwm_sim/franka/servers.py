"""franky-sim's servers, with what a real robot does when commands stay away or something goes wrong."""

from __future__ import annotations

import functools
import select
import socket
import time
from collections.abc import Callable

import numpy as np
from franky_sim.franka_gripper_protocol import GripperCommand, GripperCommandStatus
from franky_sim.franka_gripper_server import FrankaGripperServer
from franky_sim.franka_robot_protocol import (
    AutomaticErrorRecoveryCommand,
    BaseCommand,
    MoveCommandMotionGeneratorMode,
    MoveStatus,
    RobotCommand,
    RobotMode,
    UDPCommand,
)
from franky_sim.franka_robot_server import FrankaRobotServer
from franky_sim.franka_robot_state import FrankaRobotState

from clwm_common.robot.description import JointLimits
from clwm_sim.franka.continuity import ContinuityCheck
from clwm_sim.franka.robots import WorldRobot

SILENCE = 20  # cycles without a command after which the arm stops itself, as real ones do
ERRORS = {  # places in the state
    "joint_reflex": 6,
    "cartesian_reflex": 7,
    "joint_motion_generator_position_limits_violation": 12,
    "joint_motion_generator_velocity_limits_violation": 13,
    "joint_motion_generator_velocity_discontinuity": 14,
    "joint_motion_generator_acceleration_discontinuity": 15,
    "communication_constraints_violation": 25,
}
_ALL_ERRORS = 41


class Recovery(AutomaticErrorRecoveryCommand):
    """Clears the error, which franky-sim's own has none of, and is answered then."""

    def handle(self, server: ArmServer) -> None:
        server.recover(functools.partial(super().handle, server))


class ArmServer(FrankaRobotServer):
    """One arm at `address`, and its hand. errors: names of those that have stopped it, until they are recovered from.

    patience: s of real time that a cycle waits for its command; 0 as on a real robot, which waits for nobody.
    missed: cycles within motions that got no command in time.
    """

    def __init__(self, robot: WorldRobot, limits: JointLimits, address: str, patience: float = 0.0) -> None:
        self.errors: tuple[str, ...] = ()
        self.missed = 0
        self._arm = robot
        self._patience = patience
        self._continuity = ContinuityCheck(limits)
        self._is_judged = False
        self._hand: HandServer | None = None
        self._silent_for: int | None = None  # cycles; None before the first command of a motion
        self._cut_for = 0
        self._answer_recovery: Callable[[], None] | None = None
        super().__init__(robot, [address])
        # There is no other way to it: the table of commands is the base's own.
        self._FrankaServer__command_class_map[RobotCommand.kAutomaticErrorRecovery] = Recovery

    def fail(self, error: str) -> None:
        """Stop the arm for this reason, one of ERRORS."""
        self.errors = (error,)
        self._arm.brake()
        self._silent_for = None
        motion = self.current_motion_id
        self.stop_motion(send_preemption_signal=False)
        if motion and self.tcp_connected:
            BaseCommand.send_response(self._tcp_socket, RobotCommand.kMove, motion, MoveStatus.kReflexAborted)
        self.reset_current_motion_id()

    def recover(self, answer: Callable[[], None]) -> None:
        """Clear the error as soon as the arm stands: what ends its braking would end a motion that began before."""
        self._answer_recovery = answer

    def cut(self, cycles: int) -> None:
        """Nothing goes in or out for so long."""
        self._cut_for = cycles

    def process_commands(self) -> None:
        before = self._arm.stands
        if self._cut_for:
            self._cut_for -= 1
            self._count_silence()
            self._post_process_commands()
        else:
            super().process_commands()
            self._hand.process_commands()
        if self._arm.stands and not before:
            self.stop_motion(send_preemption_signal=False)  # hold here, not where the braking began
        if self._answer_recovery is not None and self._arm.stands and not self._cut_for:
            self.errors, answer, self._answer_recovery = (), self._answer_recovery, None
            answer()

    def send_state(self) -> None:
        if not self._cut_for:
            super().send_state()
            self._hand.send_state()

    def cleanup(self) -> None:
        self.reset_state()
        if self._hand is not None:
            self._hand.reset_state()
            self._hand.cleanup()
        super().cleanup()

    def start_motion(self, *arguments: object) -> None:
        if self.errors:
            raise RuntimeError(f"{self.errors[0]}: recover from it first")
        self._silent_for = None
        self._continuity.restart()
        self._is_judged = MoveCommandMotionGeneratorMode.kJointPosition in arguments
        super().start_motion(*arguments)

    def _bind_children(self, hostname: str) -> None:
        self._hand = HandServer(self._arm, hostname)
        self._hand.init()

    def _reset_state(self) -> None:
        if self.current_motion_id:  # its client is gone
            self.errors = ("communication_constraints_violation",)
            self._arm.brake()
        self._silent_for = self._answer_recovery = None
        super()._reset_state()
        # Not where the base has it, which is where its drives have let it sag to.
        self._FrankaRobotServer__holding_q = tuple(self._arm.set_point)

    def _process_udp_commands(self) -> bool:
        self._count_silence()
        super()._process_udp_commands()
        until = time.monotonic() + self._patience
        while self._silent_for and (left := until - time.monotonic()) > 0.0:
            # A sleep would last many times longer than the answer takes.
            select.select([self._FrankaServer__udp_socket], (), (), left)
            super()._process_udp_commands()
        if self._silent_for:
            self.missed += 1

    def _handle_udp_command(self, command_data: bytes) -> None:
        if self.current_motion_id:
            if self._silent_for is None or self._silent_for > 1 or self._arm.is_led:
                self._continuity.restart()
            self._silent_for = 0
            position = np.array(UDPCommand.from_bytes(command_data).q_c)
            if self._is_judged and (error := self._continuity.judge(position)):
                self.fail(error)
                return
        super()._handle_udp_command(command_data)
        if not self.current_motion_id:
            self._silent_for = None

    def _count_silence(self) -> None:
        if self._silent_for is None:
            return
        self._silent_for += 1
        if self._silent_for > SILENCE:
            self.fail("communication_constraints_violation")

    @property
    def robot_state(self) -> FrankaRobotState:
        state = super().robot_state
        if not self.errors:
            return state
        numbers = {ERRORS[name] for name in self.errors}
        flags = tuple(place in numbers for place in range(_ALL_ERRORS))
        return state.replace(robot_mode=RobotMode.kReflex, errors=flags, reflex_reason=flags)


class HandServer(FrankaGripperServer):
    """A command that another one overtakes is answered, so that nobody waits for it."""

    def stop(self, command_id: int, tcp_socket: socket.socket) -> None:
        self._give_up()
        super().stop(command_id, tcp_socket)

    def _start_motion(self, motion_state, command_type: GripperCommand, command_id: int, tcp_socket) -> None:
        self._give_up()
        super()._start_motion(motion_state, command_type, command_id, tcp_socket)

    def _give_up(self) -> None:
        if self._pending_command_id is not None:
            BaseCommand.send_response(
                self._pending_tcp_socket,
                self._pending_command_type,
                self._pending_command_id,
                GripperCommandStatus.kAborted,
                command_type_struct="H",
                status_type_struct="H",
            )
