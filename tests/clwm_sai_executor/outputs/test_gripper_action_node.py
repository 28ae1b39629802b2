"""Grippers behind an action: refused with a remedy where control_msgs is missing, commanded where it is installed."""

import sys
import time

import pytest
import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse

from clwm_common.robot.gripper import Gripper, GripperAction
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import ClwmNode, NodeError
from clwm_msgs.action import MoveGripper
from clwm_sai_executor.outputs.gripper_action_node import GripperActionClient

PATIENCE = 20.0  # s until a test gives up
NAME = "/left_gripper/gripper_cmd"


def gripper(**settings) -> Gripper:
    return Gripper(finger_joint="finger", command=GripperAction(kind="action", name=NAME, **settings))


pytestmark = pytest.mark.usefixtures("ros_context")


@pytest.fixture
def node():
    made = ClwmNode("gripper_test")
    yield made
    made.destroy_node()


def test_without_control_msgs_the_gripper_is_refused_and_the_package_named(node, monkeypatch):
    monkeypatch.setitem(sys.modules, "control_msgs", None)
    with pytest.raises(NodeError, match=f"gripper {NAME} .* install ros-jazzy-control-msgs"):
        GripperActionClient(node, gripper())


class Server:
    """A gripper's controller: takes goals, drops a running one for a newer, and ends them when told to."""

    def __init__(self, node, action_type, name=NAME) -> None:
        self.goals, self.handles, self._type = [], [], action_type
        self.accepts = True
        self._server = ActionServer(
            node,
            action_type,
            name,
            execute_callback=self._abort,
            goal_callback=self._on_goal,
            handle_accepted_callback=self.handles.append,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )

    def _on_goal(self, goal):
        self.goals.append(getattr(goal, "command", goal))
        return GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT

    def give_up(self, **result) -> None:
        """Abort the newest goal."""
        self._result = self._type.Result(**result)
        self.handles[-1].execute()

    def _abort(self, handle):
        handle.abort()
        return self._result

    def close(self) -> None:
        self._server.destroy()


class Bench:
    def __init__(self, node, settings) -> None:
        kind = settings.setdefault("type", "MoveGripper")
        where = "clwm_msgs.action" if kind == "MoveGripper" else "control_msgs.action"
        action = pytest.importorskip(where, reason=f"{where} is not installed")
        self.node = node
        self.peer = rclpy.create_node("gripper_controller")
        self._spinner = StaticSingleThreadedExecutor()
        self._spinner.add_node(node)
        self._spinner.add_node(self.peer)
        self.server = Server(self.peer, getattr(action, kind))
        self.client = GripperActionClient(node, gripper(**settings))

    def spin_until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain; {self.client.problem!r}"
            self.client.poll(self.node.now())
            self._spinner.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self.client.destroy()
        self.server.close()
        self._spinner.shutdown(timeout_sec=1.0)
        self.peer.destroy_node()


@pytest.fixture
def make_bench(node):
    made = []

    def make(**settings):
        made.append(Bench(node, settings))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def test_openings_become_goals_in_the_controllers_own_measure(make_bench):
    bench = make_bench(scale=0.5, max_effort=20.0)
    bench.client.move(0.08)
    bench.spin_until(lambda: bench.server.goals)
    assert (bench.server.goals[0].width, bench.server.goals[0].max_effort) == (0.04, 20.0)


def test_gripper_command_has_position_and_effort(make_bench):
    bench = make_bench(type="GripperCommand", scale=0.5, max_effort=20.0)
    bench.client.move(0.08)
    bench.spin_until(lambda: bench.server.goals)
    assert (bench.server.goals[0].position, bench.server.goals[0].max_effort) == (0.04, 20.0)


def test_parallel_gripper_command_names_the_finger(make_bench):
    bench = make_bench(type="ParallelGripperCommand")
    bench.client.move(0.08)
    bench.spin_until(lambda: bench.server.goals)
    command = bench.server.goals[0]
    assert (command.name, list(command.position), list(command.effort)) == (["finger"], [0.08], [])


def test_of_many_wishes_the_newest_arrives_last_and_none_is_repeated(make_bench):
    bench = make_bench()
    for width in (0.08, 0.06, 0.04, 0.02, 0.0):
        bench.client.move(width)
    bench.spin_until(lambda: bench.server.goals and bench.server.goals[-1].width == 0.0)
    assert len(bench.server.goals) <= 5
    count = len(bench.server.goals)
    until = time.monotonic() + 0.3
    bench.spin_until(lambda: time.monotonic() > until)
    assert len(bench.server.goals) == count


def test_refused_goal_is_told(make_bench):
    bench = make_bench()
    bench.server.accepts = False
    bench.client.move(0.08)
    bench.spin_until(lambda: "0.080 m was refused" in bench.client.problem)


def test_fingers_that_stall_on_an_object_have_grasped_it(make_bench):
    bench = make_bench()
    bench.client.move(0.0)
    bench.spin_until(lambda: bench.server.handles)
    bench.server.give_up(is_holding=True)
    until = time.monotonic() + 0.5
    bench.spin_until(lambda: time.monotonic() > until)
    assert bench.client.problem == ""


def test_goal_that_the_server_gives_up_is_told(make_bench):
    bench = make_bench()
    bench.client.move(0.0)
    bench.spin_until(lambda: bench.server.handles)
    bench.server.give_up()
    bench.spin_until(lambda: "given up" in bench.client.problem)


def test_goal_that_never_ends_is_told_with_gripper_width_and_time(make_bench):
    bench = make_bench()
    bench.client._goals._longest = 0.3  # a real one takes seconds
    bench.client.move(0.04)
    bench.spin_until(lambda: bench.server.handles)
    bench.spin_until(lambda: "goal 0.040 m was accepted and has not ended within 0.3 s" in bench.client.problem)
    assert bench.client.problem.startswith(f"gripper {NAME}: ")


def test_server_that_dies_within_a_goal_gets_it_again_when_it_is_back(make_bench):
    bench = make_bench()
    bench.client.move(0.04)
    bench.spin_until(lambda: bench.server.handles)
    bench.server.close()
    bench.spin_until(lambda: "its action server went away during goal 0.040 m" in bench.client.problem)
    bench.server = Server(bench.peer, MoveGripper)
    bench.spin_until(lambda: bench.server.handles and not bench.client.problem)
    assert bench.server.goals[0].width == 0.04
