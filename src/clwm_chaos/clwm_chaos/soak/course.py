"""The course of `clwm soak`: episode after episode on the unchanged stack, with an eye on the executor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from sensor_msgs.msg import JointState

from clwm_bringup.supervisor import Supervisor
from clwm_chaos.soak.measure import Sample, Soak
from clwm_common.messages import Mode
from clwm_common.process_usage import usage
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_operator.demo.course import Demo, EpisodePlan
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Recording
from clwm_sai_executor.config import SchedulerConfig

SAMPLE_PERIOD = 1.0  # s
SETTLE = 1.0  # s after the last episode in which the timelines of its chunks arrive


class SoakCourse(Demo):
    """A context manager inside the supervisor's. `soak` grows while it runs."""

    def __init__(
        self, supervisor: Supervisor, robot: RobotDescription, tasks: Sequence[str], on_step: Callable[[str], None]
    ) -> None:
        """tasks: what the policy does in turn."""
        super().__init__(supervisor, Recording(()), on_step)
        self._robot = robot
        self._tasks = tuple(tasks)
        self._state_timeout = SchedulerConfig().state_timeout
        self._last_stamp: float | None = None
        self._sampled_at = -SAMPLE_PERIOD
        self._began_at: float | None = None
        self._process_id = -1
        self._stale_before = 0
        self.soak = Soak()

    def run(self, seconds: float, first_seed: int) -> None:
        """Tasks in turn until the time is up. Raises StackError when the stack cannot go on."""
        node = self.node
        node.create_subscription(JointState, self._robot.joint_states_topic, self._on_joints, qos.SENSOR_DEEP)
        self._process_id = self._supervisor.process_ids()["executor"]
        self._stale_before = self._stale()
        self._began_at = node.now()
        self._plans = map(EpisodePlan, itertools.cycle(self._tasks), itertools.count(first_seed))
        self.go_on(seconds)

    def go_on(self, seconds: float) -> None:
        """The same, until `seconds` after `run` began."""
        while self.elapsed < seconds:
            self._release()
            self.soak.outcomes.append(self.run_episode(next(self._plans)).outcome)
        self.linger(SETTLE)

    @property
    def elapsed(self) -> float:
        """s since the run began; 0 before."""
        return 0.0 if self._began_at is None else self.node.now() - self._began_at

    def finish(self) -> Soak:
        """Take over what the executor said of its chunks and joint states, also of an interrupted run."""
        if self._began_at is not None:
            chunks = [chunk for chunk in self._recording.chunks if chunk.requested_at >= self._began_at]
            self.soak.boundaries.clear()
            self.soak.add(chunks, self._began_at)
        self.soak.reported_misses = self._stale() - self._stale_before
        self.soak.restarts = self._supervisor.restart_count
        return self.soak

    def spin(self) -> None:
        super().spin()
        if self._began_at is None or self.elapsed - self._sampled_at < SAMPLE_PERIOD:
            return
        self._sampled_at = self.elapsed
        found = usage(self._process_id)
        if found is None:
            raise StackError("the executor's process has ended; see its log")
        self.soak.samples.append(Sample(self.elapsed, found.resident / 1e6, found.share / 1e6, found.processor))

    def _release(self) -> None:
        """Set POLICY as an operator does who has read why the arms are held: a refused chunk does not end the day."""
        status = self.node.status
        if status.get("mode") == Mode.HOLD.name:
            self.soak.holds.append((self.elapsed, status.get("fault", "")))
            self.node.set_mode(Mode.POLICY, self.wait_for_answer)

    def _on_joints(self, message: JointState) -> None:
        stamp, before = from_stamp(message.header.stamp), self._last_stamp
        self._last_stamp = stamp
        if before is not None and stamp - before > self._state_timeout:
            self.soak.gaps.append((before - self._began_at, stamp - before))

    def _stale(self) -> int:
        health = self.node.health.get("executor")
        return 0 if health is None else int(health.values.get("state_stale", 0))
