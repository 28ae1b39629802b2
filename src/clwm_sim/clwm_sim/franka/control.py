"""Moves a world by what libfranka's clients command, and shows it to them: in place of simulated controllers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription, RobotError
from clwm_sim.controllers.gripper_controller import GripperController
from clwm_sim.franka.robots import CYCLE, WorldClock, WorldRobot
from clwm_sim.franka.servers import ERRORS, ArmServer
from clwm_sim.scenes.workcell import PHYSICS_DT, SIDES
from clwm_sim.world import World


class FrankaServers:
    """Both arms' servers, left first, at the addresses that the robot's description names."""

    def __init__(self, robot: RobotDescription, patience: float = 0.0) -> None:
        """patience: s of real time that a cycle waits for its command. Raises RobotError for an address in use."""
        self.robots = tuple(WorldRobot(robot.limits) for _ in robot.arms)
        self.clock = WorldClock(self.robots)
        self.clock.init()
        self.clock.start()
        self.arms: list[ArmServer] = []
        for arm, own in zip(robot.arms, self.robots, strict=True):
            server = ArmServer(own, robot.limits, arm.libfranka.address, patience)
            try:
                server.init()
            except OSError as error:
                self.close()
                where = f"no server at {arm.libfranka.address}, ports 1337 and 1338"
                raise RobotError(f"{where} ({error}); end what listens there, or name another address") from None
            self.arms.append(server)

    def control_of(self, world: World, robot: RobotDescription, origin: float) -> FrankaControl:
        """What moves `world` by these servers' clients."""
        return FrankaControl(world, robot, origin, self)

    def close(self) -> None:
        """Clients lose their connection."""
        for server in self.arms:
            server.cleanup()
        self.arms = []

    def disturb(self, arm: str, what: str | float) -> str:
        """Let an arm fail with the error of this name, or cut its connection for so many seconds. Returns why not."""
        if arm not in SIDES:
            return f"arm is '{arm}'; expected {' or '.join(SIDES)}"
        server = self.arms[SIDES.index(arm)]
        if isinstance(what, str):
            if what not in ERRORS:
                return f"error is '{what}'; known here: {', '.join(ERRORS)}"
            server.fail(what)
        else:
            server.cut(round(what / CYCLE))
        return ""

    def tick(self) -> None:
        """One millisecond of both arms."""
        for server in self.arms:
            server.process_commands()
        self.clock.step()
        for server in self.arms:
            server.send_state()


class FrankaControl:
    """In a PacedSimulation what RobotControl is for simulated controllers; its origin means the same.

    Commands come every millisecond and physics steps every 2.5: a step that ends between two commands gets the set
    point between them, as the drives of an arm interpolate.
    """

    def __init__(self, world: World, robot: RobotDescription, origin: float, servers: FrankaServers) -> None:
        self._world, self._servers, self._origin = world, servers, origin
        self._grippers = tuple(
            GripperController(gripper.opening_max, gripper.opening_min, gripper.opening_max, gripper.speed)
            for gripper in (arm.gripper for arm in robot.arms)
        )
        self.reset(origin)

    @property
    def now(self) -> float:
        """The world's present on the stack's clock [s]."""
        return self._origin + self._world.time

    def slip(self, seconds: float) -> None:
        """The world stood still for `seconds`, and the robots with it."""
        self._origin += seconds

    def set_clock(self, seconds: float) -> None:
        """The stack's clock was set by `seconds`."""
        self._origin += seconds

    def reset(self, origin: float) -> None:
        """After the world's reset: robots and hands are where it put them, and wait for commands that know it."""
        self._origin = origin
        self._ticks = round(self._world.time / CYCLE)
        positions, openings = self._world.setpoint()
        for index, (robot, gripper) in enumerate(zip(self._servers.robots, self._grippers, strict=True)):
            robot.put(positions[7 * index : 7 * index + 7], openings[index])
            gripper.reset(openings[index])
        self._measure()
        self._before = self._after = self._set_points()

    def advance(self, until: float) -> None:
        """Run the world until `until`, in s on the stack's clock; an instant already reached is left alone."""
        self._world.advance(max(until - self._origin, self._world.time), self._setpoint)

    def _setpoint(self, step_end: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self._measure()
        while self._ticks * CYCLE < step_end - 0.1 * CYCLE:
            self._ticks += 1
            self._servers.tick()
            self._before, self._after = self._after, self._set_points()
        share = min(max((self._ticks * CYCLE - step_end) / CYCLE, 0.0), 1.0)
        openings = []
        for robot, gripper in zip(self._servers.robots, self._grippers, strict=True):
            if robot.opening > robot.hand_width > gripper.opening:
                # Fingers that press on something open at once: a hand that stands still has ended its command.
                gripper.reset(robot.hand_width)
            gripper.receive(robot.opening, robot.opening_speed)
            openings.append(gripper.update(PHYSICS_DT))
        return self._after + share * (self._before - self._after), np.array(openings)

    def _set_points(self) -> NDArray[np.float64]:
        return np.concatenate([robot.set_point for robot in self._servers.robots])

    def _measure(self) -> None:
        measured = self._world.measured()
        for index, robot in enumerate(self._servers.robots):
            part = slice(7 * index, 7 * index + 7)
            robot.measure(measured.positions[part], measured.velocities[part], float(measured.widths[index]))
