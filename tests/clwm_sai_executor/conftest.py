"""A virtual stack around the scheduler: arms that follow what is sent as a JTC would, and a policy with any latency."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from clwm_common.actions import JOINTS, ROW_DT
from clwm_common.messages import ActionChunk, ChunkRequest, Mode, ModeStatus, TeleopCommand
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor import events
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.scheduler import Scheduler

START = 1_000.0


def row_of(joints, openings):
    """A row without kinematics: poses are all the same."""
    row = np.zeros(30, np.float32)
    row[[6, 13]] = 1.0
    row[JOINTS] = joints
    row[28:] = openings
    return row


class VirtualController:
    """Executes the last trajectory of both arms; keeps every message."""

    def __init__(self, position) -> None:
        self.held = np.array(position)
        self.messages: list[list[events.SendTrajectory]] = []

    def take(self, command: events.SendTrajectory) -> None:
        if command.arm == "left":
            self.messages.append([])
        self.messages[-1].append(command)

    @property
    def last(self):
        return self.messages[-1]

    def sample(self, now: float, message=None):
        """Position, velocity, acceleration (14,) that both controllers command at `now`."""
        message = message or (self.messages[-1] if self.messages else None)
        if message is None:
            return self.held, np.zeros(14), np.zeros(14)
        return tuple(np.concatenate(parts) for parts in zip(*(self._arm(one, now) for one in message), strict=True))

    @staticmethod
    def _arm(command, now):
        instants = command.stamp + command.times_from_start
        index = int(np.searchsorted(instants, now, side="right")) - 1
        assert index >= 0, "a JTC would lead the arm from where it is measured: the message starts too late"
        q, v = command.positions, command.velocities
        if index >= len(q) - 1:
            return q[-1], np.zeros(7), np.zeros(7)
        t, dt = now - instants[index], instants[index + 1] - instants[index]
        way = (q[index + 1] - q[index]) / dt
        a0 = (6 * way - 4 * v[index] - 2 * v[index + 1]) / dt
        jerk = (-12 * way + 6 * v[index] + 6 * v[index + 1]) / dt**2
        return (
            q[index] + t * v[index] + t**2 * a0 / 2 + t**3 * jerk / 6,
            v[index] + t * a0 + t**2 * jerk / 2,
            a0 + t * jerk,
        )


class VirtualStack:
    """Scheduler, controllers and policy on one virtual clock."""

    def __init__(self, robot: RobotDescription, config: SchedulerConfig) -> None:
        self.robot = robot
        self.now = START
        self.scheduler = Scheduler(robot, config, row_of)
        self.controller = VirtualController(robot.home)
        self.requests: list[ChunkRequest] = []
        self.cancelled: list[int] = []
        self.reports: list[str] = []
        self.gripper_moves: list[tuple[float, str, float]] = []
        self.states: list = []
        self.modes: list[ModeStatus] = []
        self.is_measured = True
        self.widths = np.array([0.08, 0.08])

    def do(self, event) -> list:
        """One step; commands are carried out and returned."""
        commands = self.scheduler.step(self.now, event)
        for command in commands:
            match command:
                case events.SendTrajectory():
                    self.controller.take(command)
                case events.RequestChunk(request):
                    self.requests.append(request)
                case events.CancelChunk(chunk_id):
                    self.cancelled.append(chunk_id)
                case events.Report(text=text):
                    self.reports.append(text)
                case events.MoveGripper(arm, width):
                    self.gripper_moves.append((self.now, arm, width))
                case events.PublishState(state):
                    self.states.append(state)
                case events.PublishMode(status):
                    self.modes.append(status)
        return commands

    def measure(self) -> list:
        position, velocity, _ = self.controller.sample(self.now)
        return self.do(events.MeasuredArms(self.now, position, velocity, self.widths))

    def run_until(self, instant: float, period: float = 0.01) -> None:
        """Let time pass, with joint states (unless `is_measured` is False) or bare ticks."""
        while self.now < instant - 1e-9:
            self.now = min(self.now + period, instant)
            self.measure() if self.is_measured else self.do(events.Tick())

    def begin(self, instruction: str = "lift the tray") -> ChunkRequest:
        """Joint states and a task: the first request."""
        self.measure()
        self.do(events.TaskSet(instruction))
        return self.requests[-1]

    def chunk(self, request: ChunkRequest | None = None, speed: float = 0.2, **changes) -> ActionChunk:
        """An answer that moves all joints at `speed` rad/s from the committed rows on."""
        request = request or self.requests[-1]
        prefix = request.committed_prefix
        rows = np.repeat(prefix[-1:], 16, axis=0)
        rows[: len(prefix)] = prefix
        steps = np.arange(1, 17 - len(prefix))[:, None]
        rows[len(prefix) :, JOINTS] += speed * ROW_DT * steps
        fields = {
            "chunk_id": request.chunk_id,
            "task_epoch": request.task_epoch,
            "stamp": request.observe_at,
            "rows": rows,
            "prefix_rows": len(prefix),
            "observation_stamp": request.observe_at,
        }
        return ActionChunk(**{**fields, **changes})

    def answer(self, latency: float = 0.1, **kwargs) -> list:
        """Answer the last request `latency` s after its observation."""
        request = self.requests[-1]
        chunk = self.chunk(request, **kwargs)
        self.run_until(max(self.now, request.observe_at + latency))
        return self.do(events.ChunkArrived(chunk))

    def target(self, joints=None, source: str = "leader", **changes) -> TeleopCommand:
        """A human's wish; by default both arms stay where they are commanded to be."""
        joints = self.controller.sample(self.now)[0] if joints is None else joints
        valid = np.zeros(30, np.bool_)
        valid[JOINTS] = True
        fields = {"stamp": self.now, "dead_man": True, "target": row_of(joints, [0.08, 0.08]), "valid": valid}
        return TeleopCommand(source=source, **{**fields, **changes})

    def ask(self, *args, **kwargs) -> list:
        """A human's command arrives."""
        return self.do(events.TeleopArrived(self.target(*args, **kwargs)))

    def take_over(self) -> list:
        """A human holds the switch and gets the arms."""
        self.ask()
        return self.do(events.ModeSet(Mode.TELEOP))

    def steer(self, hand, seconds: float, period: float = 0.02) -> None:
        """A human moves both arms along `hand(time)` -> joints (14,), with joint states at 100 Hz."""
        start, due = self.now, self.now
        while self.now < start + seconds - 1e-9:
            if self.now >= due - 1e-9:
                self.ask(hand(self.now - start))
                due += period
            self.now += 0.005
            self.measure()

    def hold(self) -> list:
        return self.do(events.ModeSet(Mode.HOLD))

    def resume(self) -> list:
        return self.do(events.ModeSet(Mode.POLICY))


@pytest.fixture(scope="session")
def robot() -> RobotDescription:
    return RobotDescription.load("dual_fr3_mujoco")


@pytest.fixture(scope="session")
def limits(robot) -> MotionLimits:
    return MotionLimits.of(robot)


@pytest.fixture
def make_stack(robot) -> Callable[..., VirtualStack]:
    return lambda **settings: VirtualStack(robot, SchedulerConfig(**settings))


@pytest.fixture
def stack(make_stack) -> VirtualStack:
    return make_stack()


@pytest.fixture
def bench(robot, make_stack):
    """The executor's node among what it works with, over DDS."""
    yield from _bench(robot, make_stack)


@pytest.fixture
def lonely_bench(robot, make_stack):
    """The same without a policy."""
    yield from _bench(robot, make_stack, has_policy=False)


def _bench(robot, make_stack, **options):
    from .executor_bench import Bench  # most tests do without ROS

    made = Bench(robot, make_stack().chunk, **options)
    made.start()
    yield made
    made.close()
