"""Asks the arms' controllers for their parameters, and judges them before anything is sent. Never waits.

Also who else may command the arms.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future

from clwm_common.commanders import foreign_commanders
from clwm_common.robot.description import Arm, RobotDescription
from clwm_common.ros.claiming import publishers_of
from clwm_sai_executor.outputs.controller_parameters import (
    FORWARD_PARAMETERS,
    JTC_PARAMETERS,
    Findings,
    what_forward_does,
    what_jtc_does,
)

DISCOVERY = 0.3  # s that a controller has to be found in; one that is not is taken for what its kind is in Jazzy
PATIENCE = 1.0  # s for an answer
LOOK_PERIOD = 0.1  # s between two looks at whether a controller is there


class ControllerCheck:
    """Both arms' controllers: asked at activation, and again whenever one reappears.

    inquiries: one for each arm, with what was found.
    """

    def __init__(self, node: Node, robot: RobotDescription) -> None:
        self._node = node
        self._grippers = [arm.gripper.command for arm in robot.arms]
        self._arms = [arm.controller.topic for arm in robot.arms]
        self.inquiries = [Inquiry(node, arm) for arm in robot.arms]
        self._decide_at = 0.0
        self.is_settled = False

    def ask(self, now: float) -> None:
        """Begin anew at `now` [s, monotonic]."""
        self._decide_at = now + DISCOVERY
        self.is_settled = False
        for inquiry in self.inquiries:
            inquiry.forget()

    def commanders(self, ours: Collection[str]) -> dict[str, list[str]]:
        """By topic of an arm or a gripper: which processes may send to it that are none of the participants `ours`."""
        topics = [*self._arms, *(command.name for command in self._grippers if command.kind == "topic")]
        return {topic: foreign_commanders(publishers_of(self._node, topic), ours) for topic in topics}

    def poll(self, now: float) -> str:
        """Go on asking; called at every tick. Returns why a controller must not get commands, or an empty text."""
        for inquiry in self.inquiries:
            inquiry.poll(now)
        if not self.is_settled:
            self.is_settled = all(
                inquiry.is_known or (now >= self._decide_at and not inquiry.is_waiting) for inquiry in self.inquiries
            )
        return "; ".join(text for inquiry in self.inquiries for text in inquiry.named(inquiry.findings.refusals))

    @property
    def warnings(self) -> list[str]:
        """What an integrator should know, a sentence each."""
        return [text for inquiry in self.inquiries for text in inquiry.named(inquiry.findings.warnings)]

    @property
    def summary(self) -> str:
        """Of which controllers the parameters are known."""
        return "; ".join(inquiry.summary for inquiry in self.inquiries)


class Inquiry:
    """One controller: which parameters it has, then their values (to ask for one it lacks may fail the whole call)."""

    def __init__(self, node: Node, arm: Arm) -> None:
        self._name = arm.controller.node
        self._joint_names = arm.joint_names
        is_forward = arm.controller.kind == "forward"
        self._wanted = FORWARD_PARAMETERS if is_forward else JTC_PARAMETERS
        self._judge = what_forward_does if is_forward else what_jtc_does
        self._assumed = "a forward_command_controller" if is_forward else "a joint_trajectory_controller"
        self._list = node.create_client(ListParameters, f"{self._name}/list_parameters")
        self._get = node.create_client(GetParameters, f"{self._name}/get_parameters")
        self._future: Future | None = None
        self.forget()

    def forget(self) -> None:
        """Know nothing, and ask as soon as the controller is there."""
        self._stop_waiting()
        self.is_known = False
        self.findings = Findings()
        self._was_there = False
        self._look_at = 0.0

    @property
    def is_waiting(self) -> bool:
        return self._future is not None

    @property
    def summary(self) -> str:
        if self.is_known:
            return f"{self._name}: parameters checked"
        return f"{self._name}: parameters not known, taken for {self._assumed} of Jazzy"

    def named(self, texts: tuple[str, ...]) -> list[str]:
        return [f"{self._name}: {text}" for text in texts]

    def poll(self, now: float) -> None:
        if self._future is not None:
            if self._future.done():
                self._read(self._future.result(), now)
            elif now > self._give_up_at:
                self._stop_waiting()
            return
        if now < self._look_at:
            return
        is_there = self._list.service_is_ready() and self._get.service_is_ready()
        if is_there and not self._was_there:
            self._ask(self._list, ListParameters.Request(depth=ListParameters.Request.DEPTH_RECURSIVE), now)
        elif not is_there:
            # What comes back may be another controller.
            self.is_known, self.findings = False, Findings()
        self._was_there = is_there
        self._look_at = now + LOOK_PERIOD

    def _ask(self, client: Any, request: Any, now: float) -> None:
        self._client, self._future, self._give_up_at = client, client.call_async(request), now + PATIENCE

    def _stop_waiting(self) -> None:
        if self._future is not None:
            self._client.remove_pending_request(self._future)
        self._future = None

    def _read(self, answer: Any, now: float) -> None:
        self._future = None
        if isinstance(answer, ListParameters.Response):
            self._names = [name for name in self._wanted if name in answer.result.names]
            self._ask(self._get, GetParameters.Request(names=self._names), now)
            return
        values = zip(self._names, map(parameter_value_to_python, answer.values), strict=False)
        parameters = {name: value for name, value in values if value is not None}
        self.findings = self._judge(parameters, self._joint_names)
        self.is_known = True
