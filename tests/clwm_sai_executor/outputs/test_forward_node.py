"""The node with the back end `forward`, over DDS: positions at a fixed rate, and a braked stop on deactivation."""

import time

import numpy as np
import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, to_msg
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import NodeError
from clwm_msgs.msg import ActionChunk, ChunkRequest
from clwm_sai_executor import events
from clwm_sai_executor.node import ExecutorNode
from clwm_sai_executor.outputs.position_stream import LATE_TICKS

PATIENCE = 30.0  # s until the test gives up


class Bench:
    """Arms that are where they are told to be, at once, and a policy that answers once."""

    def __init__(self, make_chunk) -> None:
        robot = RobotDescription.load("dual_fr3_forward")
        self._make_chunk = make_chunk
        overrides = [Parameter("robot", value=robot.name), Parameter("state_timeout", value=5.0)]
        self.executor = ExecutorNode(parameter_overrides=overrides)
        self.node = rclpy.create_node("bench")
        self._spinner = StaticSingleThreadedExecutor()
        for node in (self.executor, self.node):
            self._spinner.add_node(node)
        self._names = [*robot.joint_names, *(arm.gripper.finger_joint for arm in robot.arms)]
        self.positions, self.sent = robot.home.copy(), {"left": [], "right": []}
        for arm, side in enumerate(self.sent):
            self.node.create_subscription(
                Float64MultiArray,
                getattr(robot, side).controller.topic,
                lambda message, arm=arm, side=side: self._go(arm, side, message),
                qos.CRITICAL,
            )
        self._joints = self.node.create_publisher(JointState, robot.joint_states_topic, qos.SENSOR)
        self._chunks = self.node.create_publisher(ActionChunk, "/clwm/action_chunk", qos.CRITICAL)
        self.node.create_subscription(ChunkRequest, "/clwm/chunk_request", self._answer, qos.CRITICAL)
        self.node.create_timer(0.02, self._publish_joints)

    def close(self) -> None:
        self._spinner.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        self.executor.trigger_shutdown()
        self.executor.destroy_node()

    def _go(self, arm, side, message) -> None:
        self.positions[7 * arm : 7 * arm + 7] = message.data
        self.sent[side].append(np.array(message.data))

    def _answer(self, message) -> None:
        if message.kind == ChunkRequest.GENERATE and not self.sent["left"]:
            self._chunks.publish(to_msg(self._make_chunk(from_msg(message), speed=0.5)))

    def _publish_joints(self) -> None:
        message = JointState(name=self._names, position=[*self.positions.tolist(), 0.04, 0.04])
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._joints.publish(message)

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain; fault {self.executor.fault!r}"
            self._spinner.spin_once(timeout_sec=0.02)


@pytest.fixture
def bench(make_stack):
    rclpy.init()
    made = Bench(make_stack().chunk)
    yield made
    made.close()
    rclpy.try_shutdown()


def test_positions_are_streamed_and_deactivation_waits_until_the_arms_are_braked(bench):
    assert bench.executor.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert bench.executor.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.wait_for(lambda: bench.executor.scheduler.phase.name == "IDLE")
    assert bench.sent == {"left": [], "right": []}
    bench.executor.perform(events.TaskSet("lift the tray"))
    bench.wait_for(lambda: min(map(len, bench.sent.values())) > 20)
    path = bench.executor.scheduler.path
    # However long the machine pauses between two ticks.
    largest = RobotDescription.load("dual_fr3_forward").limit("velocity")[:7] * 0.01 * LATE_TICKS
    assert (np.abs(np.diff(bench.sent["left"], axis=0)) <= largest + 1e-9).all()
    began = time.monotonic()
    bench.executor.trigger_deactivate()
    assert time.monotonic() - began < 1.0
    stopped = bench.executor.scheduler.path
    assert stopped is not path and stopped.time(stopped.last) < bench.executor.now()
    end = stopped.positions[-1]
    bench.wait_for(lambda: np.array_equal(np.concatenate([bench.sent[side][-1] for side in bench.sent]), end))


def test_arms_come_to_rest_also_when_the_scheduler_fails_and_fails_again_while_it_is_deactivated(bench, monkeypatch):
    bench.executor.trigger_configure()
    bench.executor.trigger_activate()
    bench.wait_for(lambda: bench.executor.scheduler.phase.name == "IDLE")
    bench.executor.perform(events.TaskSet("lift the tray"))
    bench.wait_for(lambda: min(map(len, bench.sent.values())) > 20)
    path = bench.executor.scheduler.path
    monkeypatch.setattr(bench.executor.scheduler, "step", raise_always)
    bench.wait_for(lambda: not bench.executor.is_active)
    assert "out of its mind" in bench.executor.fault
    end = path.positions[-1]
    bench.wait_for(lambda: np.allclose(np.concatenate([bench.sent[side][-1] for side in bench.sent]), end, atol=1e-12))


def raise_always(*_):
    raise RuntimeError("out of its mind")


def test_an_arm_that_cannot_be_reached_does_not_keep_the_other_one_from_braking(bench, monkeypatch):
    bench.executor.trigger_configure()
    bench.executor.trigger_activate()
    bench.wait_for(lambda: bench.executor.scheduler.phase.name == "IDLE")
    bench.executor.perform(events.TaskSet("lift the tray"))
    bench.wait_for(lambda: min(map(len, bench.sent.values())) > 20)
    outputs = bench.executor._outputs
    monkeypatch.setattr(outputs._arms["left"], "tick", raise_always)
    with pytest.raises(NodeError, match="the left arm may not have been brought to rest: out of its mind"):
        outputs.run_out()
    end = bench.executor.scheduler.path.positions[-1][7:]
    bench.wait_for(lambda: np.allclose(bench.sent["right"][-1], end, atol=1e-12))
